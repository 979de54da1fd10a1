"""Workflows: creation, changes, activation."""

from urllib.parse import quote

from fastapi import Response

from goald.api.auth.access import Edits, Reads
from goald.api.dependencies import Deps
from goald.api.http.exact_json import ExactJson
from goald.api.http.paths import PathId
from goald.api.http.routing import Router
from goald.api.http.versions import ETAG, LOCATION, IfMatch, etag, status_of, with_version
from goald.api.models.requests import Limit, Offset, VersionRequest
from goald.api.models.workflows.workflows import (
    Activation,
    ActivationAnswer,
    WorkflowAnswer,
    WorkflowChange,
    WorkflowList,
)
from goald.api.problems import responses
from goald.configuration.executor import EditResult
from goald.domain.configuration.workflows import WorkflowRow

router = Router()

NOT_ROLLED_OUT = "Accepted; not yet loaded by every shard. See `GET .../listeners`."
_CREATED = {"description": "Created", "model": WorkflowAnswer, "headers": ETAG | LOCATION}
_ACCEPTED = {"description": NOT_ROLLED_OUT, "model": WorkflowAnswer, "headers": ETAG}
_DONE = {"description": "Done", "headers": ETAG}


@router.get(
    "/api/v1/workflows",
    tags=["workflows"],
    summary="List workflows",
    operation_id="list_workflows",
    responses=responses(400),
)
async def list_workflows(
    caller: Reads, deps: Deps, offset: Offset = 0, limit: Limit = 50
) -> WorkflowList:
    """Ordered by id."""
    async with deps.readers.places.taken_by(caller.tenant_id):
        rows, total = await deps.configuration.workflows(caller.tenant_id, offset, limit)
    return WorkflowList(workflows=[WorkflowAnswer.of(row) for row in rows], total=total)


@router.get(
    "/api/v1/workflows/{workflow_id}",
    tags=["workflows"],
    summary="Get a workflow",
    operation_id="get_workflow",
    response_model=WorkflowAnswer,
    responses={**responses(400, 404), 200: {"headers": ETAG}},
)
async def get_workflow(workflow_id: PathId, caller: Reads, deps: Deps) -> ExactJson:
    """Its goals are at the subpath `/goals`."""
    row, _ = await deps.configuration.workflow(caller.tenant_id, workflow_id)
    return ExactJson(WorkflowAnswer.of(row), headers={"ETag": etag(row)})


@router.put(
    "/api/v1/workflows/{workflow_id}",
    tags=["workflows"],
    summary="Create a workflow, or change its name and goal logic",
    operation_id="put_workflow",
    response_model=WorkflowAnswer,
    responses={**responses(409, 412), 200: _DONE, 201: _CREATED, 202: _ACCEPTED},
)
async def put_workflow(
    workflow_id: PathId, body: WorkflowChange, caller: Edits, deps: Deps, if_match: IfMatch
) -> ExactJson:
    """A new workflow is inactive until it is activated."""
    expected = with_version(if_match, body.version)
    result = await deps.configuration.put_workflow(
        caller.tenant_id, caller.subject, workflow_id, body.name, body.goal_logic, expected
    )
    return _answer(result)


@router.delete(
    "/api/v1/workflows/{workflow_id}",
    tags=["workflows"],
    summary="Delete a workflow",
    operation_id="delete_workflow",
    status_code=204,
    responses={**responses(404, 409, 412), 202: {"description": NOT_ROLLED_OUT}},
)
async def delete_workflow(
    workflow_id: PathId, caller: Edits, deps: Deps, if_match: IfMatch
) -> Response:
    """Also deletes its goals. Its enrollments, achievements, statistics and audit log stay. Fails
    with 409 while it has active enrollments. A new workflow may have the same id."""
    is_rolled_out = await deps.configuration.delete_workflow(
        caller.tenant_id, caller.subject, workflow_id, if_match
    )
    return Response(status_code=204 if is_rolled_out else 202)


@router.post(
    "/api/v1/workflows/{workflow_id}/activate",
    tags=["workflows"],
    summary="Activate a workflow",
    operation_id="activate_workflow",
    response_model=ActivationAnswer,
    responses={
        **responses(404, 409, 412),
        200: _DONE,
        202: _ACCEPTED | {"model": ActivationAnswer},
    },
)
async def activate_workflow(
    workflow_id: PathId,
    caller: Edits,
    deps: Deps,
    if_match: IfMatch,
    body: Activation | None = None,
) -> ExactJson:
    """Its goals listen from now on. Fails if a goal refers to an entity that the catalog does not
    have. A workflow without goals can be activated. An active workflow does not change.

    Events that would have met a goal while the workflow was inactive are kept for 30 days, for each
    active enrollment its first. `missed` counts these enrollments. With `exit_missed`, they exit
    before any other event of the tenant is evaluated.

    If steps of executions became due meanwhile, the answer is 409 with their number, unless
    `overdue` says how they are treated."""
    options = body or Activation()
    result = await deps.configuration.set_active(
        caller.tenant_id,
        caller.subject,
        workflow_id,
        True,
        with_version(if_match, options.version),
        exit_missed=options.exit_missed,
        overdue=options.overdue,
    )
    answer = ActivationAnswer.of_activation(result.row, result.missed)
    return ExactJson(answer, status_of(result), {"ETag": etag(result.row)})


@router.post(
    "/api/v1/workflows/{workflow_id}/deactivate",
    tags=["workflows"],
    summary="Deactivate a workflow",
    operation_id="deactivate_workflow",
    response_model=WorkflowAnswer,
    responses={**responses(404, 409, 412), 200: _DONE, 202: _ACCEPTED},
)
async def deactivate_workflow(
    workflow_id: PathId,
    caller: Edits,
    deps: Deps,
    if_match: IfMatch,
    body: VersionRequest | None = None,
) -> ExactJson:
    """Its goals do not listen any more. Its enrollments do not change."""
    expected = with_version(if_match, body.version if body else None)
    result = await deps.configuration.set_active(
        caller.tenant_id, caller.subject, workflow_id, False, expected
    )
    return _answer(result)


def path_of(workflow_id: str) -> str:
    """Return the path of a workflow."""
    return f"/api/v1/workflows/{quote(workflow_id, safe='')}"


def _answer(result: EditResult[WorkflowRow]) -> ExactJson:
    headers = {"ETag": etag(result.row)}
    if result.created:
        headers["Location"] = path_of(result.row.id)
    return ExactJson(WorkflowAnswer.of(result.row), status_of(result), headers)
