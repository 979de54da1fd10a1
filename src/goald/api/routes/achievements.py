"""A workflow's achievements, in pages."""

from typing import Annotated
from uuid import UUID

from fastapi import Query

from goald.api.auth.access import PartsOf, Reads
from goald.api.http.exact_numbers import ExactJson
from goald.api.http.pagination import PageAsked, QueryId
from goald.api.http.paths import PathId
from goald.api.http.routing import Router
from goald.api.models.records import AchievementPage, AchievementResponse
from goald.api.problems import NotFoundProblem, responses
from goald.domain.configuration.goals import GoalType

router = Router()


@router.get(
    "/api/v1/workflows/{workflow_id}/achievements",
    tags=["records"],
    summary="A workflow's achievements, newest first",
    operation_id="list_achievements",
    response_model=AchievementPage,
    responses=responses(400, 404),
)
async def list_achievements(
    workflow_id: PathId,
    caller: Reads,
    parts: PartsOf,
    page: PageAsked,
    contact_id: Annotated[QueryId | None, Query(description="Only this contact's.")] = None,
    enrollment_id: Annotated[QueryId | None, Query(description="Only this enrollment's.")] = None,
    goal_type: Annotated[GoalType | None, Query(description="Only of this type of goal.")] = None,
    goal_id: Annotated[UUID | None, Query(description="Only of this goal.")] = None,
) -> ExactJson:
    """`since` and `until` are held against `achieved_at`, the time of the event. Kept for
    `GOALD_RETENTION`; statistics know of the older ones too.

    With `goal_type` or `goal_id`, and neither `contact_id` nor `enrollment_id`, 10,000
    achievements are looked at for one page: it may hold fewer than `limit`, even none, where
    more follow. Go on while there is a `next_cursor`.
    """
    tenant = caller.tenant_id
    filters = {
        "contact_id": contact_id,
        "enrollment_id": enrollment_id,
        "goal_type": goal_type,
        "goal_id": None if goal_id is None else str(goal_id),
    }
    listing = page.of((int, UUID), "achievements", tenant, workflow_id, *filters.values())
    found = await parts.records.achievements(tenant, workflow_id, filters, listing.span)
    if not found.rows and not await parts.records.is_known(tenant, workflow_id):
        raise NotFoundProblem(f"There is no workflow {workflow_id}")
    items = [AchievementResponse.of(row) for row in found.rows]
    return ExactJson(AchievementPage(items=items, next_cursor=listing.cursor(found.next)))
