"""Goal types, and the goals of a workflow: at most three."""

from uuid import UUID

from fastapi import Response

from goald.api.auth.access import Edits, Reads
from goald.api.dependencies import Deps
from goald.api.http.exact_json import ExactJson
from goald.api.http.paths import PathId
from goald.api.http.routing import Router
from goald.api.http.versions import ETAG, LOCATION, IfMatch, etag, status_of, with_version
from goald.api.models.requests import Limit, Offset
from goald.api.models.workflows.goals import (
    GoalAnswer,
    GoalChange,
    GoalList,
    GoalRequest,
    GoalTypeAnswer,
    GoalTypeList,
)
from goald.api.problems import responses
from goald.api.routes.workflows.workflows import NOT_ROLLED_OUT, path_of
from goald.configuration.executor import EditResult
from goald.domain.configuration.criteria import read_criteria
from goald.domain.configuration.criteria_schema import DIALECT, criteria_schema
from goald.domain.configuration.edits import GoalPatch, NewGoal
from goald.domain.configuration.goals import LISTENS_TO, GoalType
from goald.domain.configuration.workflows import GoalRow

router = Router()


def _describe(goal_type: GoalType, event_type: str) -> GoalTypeAnswer:
    schema = criteria_schema(goal_type)
    return GoalTypeAnswer(
        goal_type=goal_type,
        title=schema["title"],
        description=schema["description"],
        event_type=event_type,
        criteria_schema={"$schema": DIALECT, **schema},
    )


_GOAL_TYPES = GoalTypeList(goal_types=[_describe(*pair) for pair in LISTENS_TO.items()])
_GOALS = "/api/v1/workflows/{workflow_id}/goals"
_GOAL = _GOALS + "/{goal_id:uuid}"
_ACCEPTED = {"description": NOT_ROLLED_OUT, "model": GoalAnswer, "headers": ETAG}


@router.get(
    "/api/v1/goal-types",
    tags=["goals"],
    summary="List the goal types with their criteria",
    operation_id="list_goal_types",
)
async def list_goal_types(caller: Reads) -> GoalTypeList:
    """The same for every tenant. Changes only with a new release."""
    return _GOAL_TYPES


@router.post(
    _GOALS,
    tags=["goals"],
    summary="Add a goal",
    operation_id="add_goal",
    status_code=201,
    response_model=GoalAnswer,
    responses={**responses(404, 409), 201: {"headers": ETAG | LOCATION}, 202: _ACCEPTED},
)
async def add_goal(workflow_id: PathId, body: GoalRequest, caller: Edits, deps: Deps) -> ExactJson:
    """In an active workflow the goal listens immediately, for events from now on."""
    criteria = read_criteria(body.goal_type, body.criteria)
    goal = NewGoal(
        body.goal_type,
        criteria,
        body.key,
        body.is_active,
        body.effective_from,
        body.check_on_enrollment,
        body.conversion_window,
    )
    return _answer(
        await deps.configuration.add_goal(caller.tenant_id, caller.subject, workflow_id, goal)
    )


@router.get(
    _GOALS,
    tags=["goals"],
    summary="List the goals of a workflow",
    operation_id="list_goals",
    response_model=GoalList,
    responses=responses(400, 404),
)
async def list_goals(
    workflow_id: PathId, caller: Reads, deps: Deps, offset: Offset = 0, limit: Limit = 50
) -> ExactJson:
    """In order of position, without deleted goals."""
    async with deps.readers.places.taken_by(caller.tenant_id):
        _, rows = await deps.configuration.workflow(caller.tenant_id, workflow_id)
        page = rows[offset : offset + limit]
        return ExactJson(GoalList(goals=[GoalAnswer.of(row) for row in page], total=len(rows)))


@router.get(
    _GOAL,
    tags=["goals"],
    summary="Get a goal",
    operation_id="get_goal",
    response_model=GoalAnswer,
    responses={**responses(400, 404), 200: {"headers": ETAG}},
)
async def get_goal(workflow_id: PathId, goal_id: UUID, caller: Reads, deps: Deps) -> ExactJson:
    row = await deps.configuration.goal(caller.tenant_id, workflow_id, goal_id)
    return ExactJson(GoalAnswer.of(row), headers={"ETag": etag(row)})


@router.patch(
    _GOAL,
    tags=["goals"],
    summary="Change a goal",
    operation_id="change_goal",
    response_model=GoalAnswer,
    responses={**responses(404, 409, 412), 200: {"headers": ETAG}, 202: _ACCEPTED},
)
async def change_goal(
    workflow_id: PathId,
    goal_id: UUID,
    body: GoalChange,
    caller: Edits,
    deps: Deps,
    if_match: IfMatch,
) -> ExactJson:
    """Existing achievements stay; later events are evaluated against the changed goal. To
    deactivate a goal completes no enrollment."""
    patch = GoalPatch(
        goal_type=body.goal_type,
        criteria=body.criteria,
        is_active=body.is_active,
        effective_from=body.effective_from,
        key=body.key,
        check_on_enrollment=body.check_on_enrollment,
        conversion_window=body.conversion_window,
        clears_window="conversion_window" in body.model_fields_set
        and body.conversion_window is None,
        clears_key="key" in body.model_fields_set and body.key is None,
    )
    expected = with_version(if_match, body.version)
    return _answer(
        await deps.configuration.change_goal(
            caller.tenant_id, caller.subject, workflow_id, goal_id, patch, expected
        )
    )


@router.delete(
    _GOAL,
    tags=["goals"],
    summary="Delete a goal",
    operation_id="delete_goal",
    status_code=204,
    responses={**responses(404, 412), 202: {"description": NOT_ROLLED_OUT}},
)
async def delete_goal(
    workflow_id: PathId, goal_id: UUID, caller: Edits, deps: Deps, if_match: IfMatch
) -> Response:
    """Its achievements stay, and no enrollment completes because of the deletion."""
    is_rolled_out = await deps.configuration.delete_goal(
        caller.tenant_id, caller.subject, workflow_id, goal_id, if_match
    )
    return Response(status_code=204 if is_rolled_out else 202)


def _answer(result: EditResult[GoalRow]) -> ExactJson:
    row = result.row
    headers = {"ETag": etag(row)}
    if result.created:
        headers["Location"] = f"{path_of(row.workflow_id)}/goals/{row.id}"
    return ExactJson(GoalAnswer.of(row), status_of(result), headers)
