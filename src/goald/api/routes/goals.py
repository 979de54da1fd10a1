"""The goals of a workflow, at most three (R1, R2, R11, R13)."""

from uuid import UUID

from fastapi import Response

from goald.api.auth.access import Edits, PartsOf, Reads
from goald.api.http.exact_numbers import ExactJson
from goald.api.http.paths import PathId
from goald.api.http.routing import Router
from goald.api.http.versions import ETAG, LOCATION, IfMatch, etag, status_of
from goald.api.models.editing import Limit, Offset
from goald.api.models.goals import GoalAnswer, GoalChange, GoalList, GoalRequest
from goald.api.problems import responses
from goald.api.routes.workflows import NOT_EVERYWHERE, path_of, with_version
from goald.configuration.executor import EditResult
from goald.domain.configuration.criteria import read_criteria
from goald.domain.configuration.edits import GoalPatch, NewGoal
from goald.domain.configuration.workflows import GoalRow

router = Router()

_GOALS = "/api/v1/workflows/{workflow_id}/goals"
_GOAL = _GOALS + "/{goal_id:uuid}"
_LATER = {"description": NOT_EVERYWHERE, "model": GoalAnswer, "headers": ETAG}


@router.post(
    _GOALS,
    tags=["goals"],
    summary="Add a goal",
    operation_id="add_goal",
    status_code=201,
    response_model=GoalAnswer,
    responses={**responses(404, 409), 201: {"headers": ETAG | LOCATION}, 202: _LATER},
)
async def add_goal(
    workflow_id: PathId, body: GoalRequest, caller: Edits, parts: PartsOf
) -> ExactJson:
    """In an active workflow it listens at once, to what happens from now on."""
    criteria = read_criteria(body.goal_type, body.criteria)
    goal = NewGoal(body.goal_type, criteria, body.key, body.is_active, body.effective_from)
    return _answer(
        await parts.configuration.add_goal(caller.tenant_id, caller.subject, workflow_id, goal)
    )


@router.get(
    _GOALS,
    tags=["goals"],
    summary="The goals of a workflow",
    operation_id="list_goals",
    response_model=GoalList,
    responses=responses(400, 404),
)
async def list_goals(
    workflow_id: PathId, caller: Reads, parts: PartsOf, offset: Offset = 0, limit: Limit = 50
) -> ExactJson:
    """In their order. Deleted ones are not among them."""
    _, rows = await parts.configuration.workflow(caller.tenant_id, workflow_id)
    shown = rows[offset : offset + limit]
    return ExactJson(GoalList(goals=[GoalAnswer.of(row) for row in shown], total=len(rows)))


@router.get(
    _GOAL,
    tags=["goals"],
    summary="A goal",
    operation_id="get_goal",
    response_model=GoalAnswer,
    responses={**responses(400, 404), 200: {"headers": ETAG}},
)
async def get_goal(workflow_id: PathId, goal_id: UUID, caller: Reads, parts: PartsOf) -> ExactJson:
    row = await parts.configuration.goal(caller.tenant_id, workflow_id, goal_id)
    return ExactJson(GoalAnswer.of(row), headers={"ETag": etag(row)})


@router.patch(
    _GOAL,
    tags=["goals"],
    summary="Change a goal",
    operation_id="change_goal",
    response_model=GoalAnswer,
    responses={**responses(404, 409, 412), 200: {"headers": ETAG}, 202: _LATER},
)
async def change_goal(
    workflow_id: PathId,
    goal_id: UUID,
    body: GoalChange,
    caller: Edits,
    parts: PartsOf,
    if_match: IfMatch,
) -> ExactJson:
    """What it has achieved stays as it was; what comes is judged by the new one (E8). To
    switch a goal off completes nobody."""
    patch = GoalPatch(
        goal_type=body.goal_type,
        criteria=body.criteria,
        is_active=body.is_active,
        effective_from=body.effective_from,
        key=body.key,
        clears_key="key" in body.model_fields_set and body.key is None,
    )
    expected = with_version(if_match, body.version)
    return _answer(
        await parts.configuration.change_goal(
            caller.tenant_id, caller.subject, workflow_id, goal_id, patch, expected
        )
    )


@router.delete(
    _GOAL,
    tags=["goals"],
    summary="Delete a goal",
    operation_id="delete_goal",
    status_code=204,
    responses={**responses(404, 412), 202: {"description": NOT_EVERYWHERE}},
)
async def delete_goal(
    workflow_id: PathId, goal_id: UUID, caller: Edits, parts: PartsOf, if_match: IfMatch
) -> Response:
    """What it has achieved stays. It completes nobody by that (E8)."""
    everywhere = await parts.configuration.delete_goal(
        caller.tenant_id, caller.subject, workflow_id, goal_id, if_match
    )
    return Response(status_code=204 if everywhere else 202)


def _answer(edited: EditResult[GoalRow]) -> ExactJson:
    row = edited.row
    headers = {"ETag": etag(row)}
    if edited.created:
        headers["Location"] = f"{path_of(row.workflow_id)}/goals/{row.id}"
    return ExactJson(GoalAnswer.of(row), status_of(edited), headers)
