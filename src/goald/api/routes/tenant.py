"""The settings of the caller's tenant."""

from goald.api.auth.access import Edits, Reads
from goald.api.dependencies import Deps
from goald.api.http.exact_json import ExactJson
from goald.api.http.routing import Router
from goald.api.models.tenant import SettingsAnswer, SettingsChange
from goald.api.problems import responses

router = Router()

_NOT_ROLLED_OUT = "Accepted; not yet loaded by every shard."


@router.get(
    "/api/v1/tenant",
    tags=["tenant"],
    summary="Get the settings of the tenant",
    operation_id="get_settings",
)
async def get_settings(caller: Reads, deps: Deps) -> SettingsAnswer:
    """The defaults for a tenant that has changed none."""
    return SettingsAnswer.of(await deps.configuration.settings(caller.tenant_id))


@router.put(
    "/api/v1/tenant",
    tags=["tenant"],
    summary="Change settings of the tenant",
    operation_id="put_settings",
    response_model=SettingsAnswer,
    responses={
        **responses(400),
        202: {"description": _NOT_ROLLED_OUT, "model": SettingsAnswer},
    },
)
async def put_settings(body: SettingsChange, caller: Edits, deps: Deps) -> ExactJson:
    """Absent fields keep their values. Applies to later events and retries. Completes no
    enrollment, and changes no achievement."""
    result = await deps.configuration.put_settings(caller.tenant_id, caller.subject, body.patch)
    return ExactJson(SettingsAnswer.of(result.row), 200 if result.is_rolled_out else 202)


@router.patch(
    "/api/v1/tenant",
    tags=["tenant"],
    summary="Change settings of the tenant",
    operation_id="patch_settings",
    response_model=SettingsAnswer,
    responses={
        **responses(400),
        202: {"description": _NOT_ROLLED_OUT, "model": SettingsAnswer},
    },
)
async def patch_settings(body: SettingsChange, caller: Edits, deps: Deps) -> ExactJson:
    """The same as `PUT`."""
    return await put_settings(body, caller, deps)
