"""Enrollments, achievements and listeners of a workflow (E10)."""

from typing import Annotated
from uuid import UUID

from fastapi import Query

from goald.api.auth.access import Reads
from goald.api.dependencies import Deps
from goald.api.http.exact_json import ExactJson
from goald.api.http.pagination import QueryId, RequestedPage
from goald.api.http.paths import PathId
from goald.api.http.routing import Router
from goald.api.models.records import (
    AchievementPage,
    AchievementResponse,
    EnrollmentPage,
    EnrollmentResponse,
    Listeners,
)
from goald.api.problems import NotFoundProblem, responses
from goald.domain.configuration.goals import GoalType
from goald.domain.records.enrollment import EnrollmentStatus

router = Router()


@router.get(
    "/api/v1/workflows/{workflow_id}/enrollments",
    tags=["records"],
    summary="List enrollments, newest first",
    operation_id="list_enrollments",
    responses=responses(400, 404),
)
async def list_enrollments(
    workflow_id: PathId,
    caller: Reads,
    deps: Deps,
    page: RequestedPage,
    status: Annotated[
        EnrollmentStatus | None, Query(description="Only enrollments with this status.")
    ] = None,
    contact_id: Annotated[
        QueryId | None, Query(description="Only enrollments of this contact.")
    ] = None,
) -> EnrollmentPage:
    """`since` and `until` filter by `enrolled_at`. Enrollments that begin while you page through
    the list are not added to it, and none is returned twice. Also returns the enrollments of a
    workflow that is not configured."""
    tenant = caller.tenant_id
    listing = page.of((int, str), "enrollments", tenant, workflow_id, status, contact_id)
    filters = {"status": status, "contact_id": contact_id}
    async with deps.readers.places.taken_by(tenant):
        found = await deps.readers.records.enrollments(tenant, workflow_id, filters, listing.span)
        if not found.rows:
            await _require_known(deps, tenant, workflow_id)
        return EnrollmentPage(
            items=[EnrollmentResponse.of(row) for row in found.rows],
            next_cursor=listing.cursor(found.next),
        )


@router.get(
    "/api/v1/workflows/{workflow_id}/achievements",
    tags=["records"],
    summary="List achievements, newest first",
    operation_id="list_achievements",
    response_model=AchievementPage,
    responses=responses(400, 404),
)
async def list_achievements(
    workflow_id: PathId,
    caller: Reads,
    deps: Deps,
    page: RequestedPage,
    contact_id: Annotated[
        QueryId | None, Query(description="Only achievements of this contact.")
    ] = None,
    enrollment_id: Annotated[
        QueryId | None, Query(description="Only achievements of this enrollment.")
    ] = None,
    goal_type: Annotated[
        GoalType | None, Query(description="Only achievements of this goal type.")
    ] = None,
    goal_id: Annotated[UUID | None, Query(description="Only achievements of this goal.")] = None,
) -> ExactJson:
    """`since` and `until` filter by `achieved_at`, the time of the event. Achievements are kept
    for `GOALD_RETENTION`; the statistics include older ones.

    With `goal_type` or `goal_id`, and without `contact_id` and `enrollment_id`, a page examines
    10,000 achievements. It may have fewer items than `limit`, or none, although more pages
    follow: continue while there is a `next_cursor`.
    """
    tenant = caller.tenant_id
    filters = {
        "contact_id": contact_id,
        "enrollment_id": enrollment_id,
        "goal_type": goal_type,
        "goal_id": None if goal_id is None else str(goal_id),
    }
    listing = page.of((int, UUID), "achievements", tenant, workflow_id, *filters.values())
    async with deps.readers.places.taken_by(tenant):
        found = await deps.readers.records.achievements(tenant, workflow_id, filters, listing.span)
        if not found.rows:
            await _require_known(deps, tenant, workflow_id)
        items = [AchievementResponse.of(row) for row in found.rows]
        return ExactJson(AchievementPage(items=items, next_cursor=listing.cursor(found.next)))


@router.get(
    "/api/v1/workflows/{workflow_id}/listeners",
    tags=["records"],
    summary="Get the active goals and their rollout status",
    operation_id="get_listeners",
    responses=responses(404),
)
async def get_listeners(workflow_id: PathId, caller: Reads, deps: Deps) -> Listeners:
    """A change that got a 202 response is loaded by every live shard when `everywhere` is true."""
    tenant = caller.tenant_id
    listening = await deps.readers.records.listening(tenant, workflow_id)
    if listening.version == 0:
        await _require_known(deps, tenant, workflow_id)
    return Listeners.of(workflow_id, listening)


async def _require_known(deps: Deps, tenant: str, workflow_id: str) -> None:
    if not await deps.readers.records.is_known(tenant, workflow_id):
        raise NotFoundProblem(f"There is no workflow {workflow_id}")
