"""Definitions of workflows: drafts, publication, versions."""

from typing import Annotated, Final

import orjson
from fastapi import Query, Response

from goald.api.auth.access import Edits, Reads
from goald.api.dependencies import Deps
from goald.api.http.bodies import JsonLimits, StrictRequest, strict_json
from goald.api.http.exact_json import exact_bytes
from goald.api.http.paths import PathId
from goald.api.http.routing import Router
from goald.api.http.versions import ETAG, LOCATION, IfMatch, etag
from goald.api.models.requests import Limit, Offset
from goald.api.models.workflows.definitions import (
    DEFINITION_BODY,
    DefinitionAnswer,
    DefinitionVersionAnswer,
    DefinitionVersionList,
)
from goald.api.problems import BadRequest, responses
from goald.api.routes.workflows.workflows import NOT_ROLLED_OUT, path_of
from goald.configuration.definitions import DefinitionView
from goald.domain.definitions.documents import (
    MAX_DOCUMENT_BYTES,
    MAX_DOCUMENT_DEPTH,
    document_text,
)

router = Router()

DOCUMENT_LIMITS: Final = JsonLimits(
    depth=MAX_DOCUMENT_DEPTH, keys=1_000, string_bytes=MAX_DOCUMENT_BYTES, values=40_000
)
"""Templates are long texts with much punctuation. The limits of definitions are narrower, and their
faults have places."""
_WORKFLOW = "/api/v1/workflows/{workflow_id}"
_DEFINITION = _WORKFLOW + "/definition"
_FOUND = {"model": DefinitionAnswer, "headers": ETAG}


@router.get(
    _DEFINITION,
    tags=["definitions"],
    summary="Get the definition of a workflow",
    operation_id="get_definition",
    response_model=DefinitionAnswer,
    responses={**responses(400, 404), 200: {"headers": ETAG}},
)
async def get_definition(
    workflow_id: PathId,
    caller: Reads,
    deps: Deps,
    version: Annotated[
        int | None, Query(ge=1, le=2**31 - 1, description="A version; default: see above.")
    ] = None,
) -> Response:
    """Its draft, or its newest published version if there is no draft. Another version by its
    number. `ETag` is for changes of the definition, not of one version."""
    definitions, tenant = deps.configuration.definitions, caller.tenant_id
    async with deps.readers.definition_places.taken_by(tenant):
        if version is None:
            view = await definitions.newest(tenant, workflow_id)
        else:
            view = await definitions.version(tenant, workflow_id, version)
    return _answer(view)


@router.put(
    _DEFINITION,
    tags=["definitions"],
    summary="Create or replace the draft of a definition",
    operation_id="put_definition",
    response_model=DefinitionAnswer,
    responses={
        **responses(400, 404, 409, 412, 413, 415),
        200: {"headers": ETAG, "description": "Replaced, or unchanged"},
        201: _FOUND | {"description": "Created", "headers": ETAG | LOCATION},
    },
    openapi_extra=DEFINITION_BODY,
)
async def put_definition(
    workflow_id: PathId, request: StrictRequest, caller: Edits, deps: Deps, if_match: IfMatch
) -> Response:
    """The draft may have faults, which `faults` lists; only publishing refuses them. A document
    that equals the published version removes the draft."""
    request.require_json()
    document = strict_json(await request.body(), DOCUMENT_LIMITS)
    if not isinstance(document, dict):
        raise BadRequest("The body must be an object")
    async with deps.readers.definition_places.taken_by(caller.tenant_id):
        result, view = await deps.configuration.definitions.put(
            caller.tenant_id, caller.subject, workflow_id, document, if_match
        )
    if not result.created:
        return _answer(view)
    return _answer(view, 201, {"Location": f"{path_of(workflow_id)}/definition"})


@router.post(
    _WORKFLOW + "/publish",
    tags=["definitions"],
    summary="Publish the draft of a definition",
    operation_id="publish_definition",
    response_model=DefinitionAnswer,
    responses={
        **responses(400, 404, 409, 412),
        200: {"headers": ETAG, "description": "Published, or unchanged"},
        202: _FOUND | {"description": NOT_ROLLED_OUT},
    },
)
async def publish_definition(
    workflow_id: PathId, caller: Edits, deps: Deps, if_match: IfMatch
) -> Response:
    """Makes the draft a version, which never changes. 400 lists every fault with the path of its
    step. Without a draft nothing changes. If the workflow is active, events that match the trigger
    start executions of the version."""
    async with deps.readers.definition_places.taken_by(caller.tenant_id):
        result, view = await deps.configuration.definitions.publish(
            caller.tenant_id, caller.subject, workflow_id, if_match
        )
    return _answer(view, 200 if result.is_rolled_out else 202)


@router.get(
    _WORKFLOW + "/versions",
    tags=["definitions"],
    summary="List the versions of a definition",
    operation_id="list_definition_versions",
    responses=responses(400, 404),
)
async def list_definition_versions(
    workflow_id: PathId, caller: Reads, deps: Deps, offset: Offset = 0, limit: Limit = 50
) -> DefinitionVersionList:
    """Newest first, without the documents."""
    async with deps.readers.places.taken_by(caller.tenant_id):
        rows, total = await deps.configuration.definitions.versions(
            caller.tenant_id, workflow_id, offset, limit
        )
    return DefinitionVersionList(
        versions=[DefinitionVersionAnswer.of(row) for row in rows], total=total
    )


def _answer(
    view: DefinitionView, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return a version with its document as it is stored, numbers and order included."""
    body = DefinitionAnswer.of(view).model_dump()
    body["definition"] = orjson.Fragment(document_text(view.row.document))
    return Response(
        exact_bytes(body), status, {"ETag": etag(view.row), **(headers or {})}, "application/json"
    )
