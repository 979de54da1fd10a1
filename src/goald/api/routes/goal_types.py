"""The types of goal that there are, for an editor to offer (R2)."""

from goald.api.auth.access import Reads
from goald.api.http.routing import Router
from goald.api.models.goals import GoalTypeAnswer, GoalTypeList
from goald.domain.configuration.criteria_schema import DIALECT, criteria_schema
from goald.domain.configuration.goals import LISTENS_TO, GoalType

router = Router()


def _described(goal_type: GoalType, event_type: str) -> GoalTypeAnswer:
    schema = criteria_schema(goal_type)
    return GoalTypeAnswer(
        goal_type=goal_type,
        title=schema["title"],
        description=schema["description"],
        event_type=event_type,
        criteria_schema={"$schema": DIALECT, **schema},
    )


_ALL = GoalTypeList(goal_types=[_described(*pair) for pair in LISTENS_TO.items()])


@router.get(
    "/api/v1/goal-types",
    tags=["goals"],
    summary="The types of goal, with what their criteria may be",
    operation_id="list_goal_types",
)
async def list_goal_types(caller: Reads) -> GoalTypeList:
    """The same for every tenant, and for as long as this release runs."""
    return _ALL
