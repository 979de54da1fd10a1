"""Workflows: made, changed, activated (R1, R9, R10, R13)."""

from urllib.parse import quote

from goald.api.auth.access import Edits, PartsOf, Reads
from goald.api.dependencies import Dependencies
from goald.api.http.exact_numbers import ExactJson
from goald.api.http.paths import PathId
from goald.api.http.routing import Router
from goald.api.http.versions import ETAG, LOCATION, IfMatch, etag, status_of
from goald.api.models.editing import Limit, Offset, OfVersion
from goald.api.models.workflows import WorkflowAnswer, WorkflowChange, WorkflowList
from goald.api.ports import Caller
from goald.api.problems import responses
from goald.configuration.executor import EditResult
from goald.domain.configuration.edits import ExpectedVersion
from goald.domain.configuration.workflows import WorkflowRow

router = Router()

NOT_EVERYWHERE = "Done; not every shard has it yet, which `listeners` tells (E10)"
_MADE = {"description": "Made", "model": WorkflowAnswer, "headers": ETAG | LOCATION}
_LATER = {"description": NOT_EVERYWHERE, "model": WorkflowAnswer, "headers": ETAG}
_DONE = {"description": "Done", "headers": ETAG}


@router.get(
    "/api/v1/workflows",
    tags=["workflows"],
    summary="The workflows",
    operation_id="list_workflows",
    responses=responses(400),
)
async def list_workflows(
    caller: Reads, parts: PartsOf, offset: Offset = 0, limit: Limit = 50
) -> WorkflowList:
    """By id."""
    rows, total = await parts.configuration.workflows(caller.tenant_id, offset, limit)
    return WorkflowList(workflows=[WorkflowAnswer.of(row) for row in rows], total=total)


@router.get(
    "/api/v1/workflows/{workflow_id}",
    tags=["workflows"],
    summary="A workflow",
    operation_id="get_workflow",
    response_model=WorkflowAnswer,
    responses={**responses(400, 404), 200: {"headers": ETAG}},
)
async def get_workflow(workflow_id: PathId, caller: Reads, parts: PartsOf) -> ExactJson:
    """Its goals are at `/goals` below it."""
    row, _ = await parts.configuration.workflow(caller.tenant_id, workflow_id)
    return ExactJson(WorkflowAnswer.of(row), headers={"ETag": etag(row)})


@router.put(
    "/api/v1/workflows/{workflow_id}",
    tags=["workflows"],
    summary="Make a workflow, or change its name and goal logic",
    operation_id="put_workflow",
    response_model=WorkflowAnswer,
    responses={**responses(409, 412), 200: _DONE, 201: _MADE, 202: _LATER},
)
async def put_workflow(
    workflow_id: PathId, body: WorkflowChange, caller: Edits, parts: PartsOf, if_match: IfMatch
) -> ExactJson:
    """A new one is a draft: nothing happens until it is activated."""
    expected = with_version(if_match, body.version)
    edited = await parts.configuration.put_workflow(
        caller.tenant_id, caller.subject, workflow_id, body.name, body.goal_logic, expected
    )
    return _answer(edited)


@router.post(
    "/api/v1/workflows/{workflow_id}/activate",
    tags=["workflows"],
    summary="Activate a workflow",
    operation_id="activate_workflow",
    response_model=WorkflowAnswer,
    responses={**responses(404, 409, 412), 200: _DONE, 202: _LATER},
)
async def activate_workflow(
    workflow_id: PathId,
    caller: Edits,
    parts: PartsOf,
    if_match: IfMatch,
    body: OfVersion | None = None,
) -> ExactJson:
    """From now on its goals listen. One whose goals refer to what the catalog does not have
    is not activated; one without goals is, and waits for them. An active one stays so."""
    return await _set_active(workflow_id, True, caller, parts, if_match, body)


@router.post(
    "/api/v1/workflows/{workflow_id}/deactivate",
    tags=["workflows"],
    summary="Deactivate a workflow",
    operation_id="deactivate_workflow",
    response_model=WorkflowAnswer,
    responses={**responses(404, 409, 412), 200: _DONE, 202: _LATER},
)
async def deactivate_workflow(
    workflow_id: PathId,
    caller: Edits,
    parts: PartsOf,
    if_match: IfMatch,
    body: OfVersion | None = None,
) -> ExactJson:
    """From now on none of its goals listens. Its enrollments stay as they are."""
    return await _set_active(workflow_id, False, caller, parts, if_match, body)


def with_version(if_match: ExpectedVersion, version: int | None) -> ExpectedVersion:
    """What the header and the body ask for."""
    return ExpectedVersion(if_match.versions, if_match.must_exist, version)


def path_of(workflow_id: str) -> str:
    """Where a workflow is."""
    return f"/api/v1/workflows/{quote(workflow_id, safe='')}"


async def _set_active(
    workflow_id: str,
    is_active: bool,
    caller: Caller,
    parts: Dependencies,
    if_match: ExpectedVersion,
    body: OfVersion | None,
) -> ExactJson:
    expected = with_version(if_match, body.version if body else None)
    edited = await parts.configuration.set_active(
        caller.tenant_id, caller.subject, workflow_id, is_active, expected
    )
    return _answer(edited)


def _answer(edited: EditResult[WorkflowRow]) -> ExactJson:
    headers = {"ETag": etag(edited.row)}
    if edited.created:
        headers["Location"] = path_of(edited.row.id)
    return ExactJson(WorkflowAnswer.of(edited.row), status_of(edited), headers)
