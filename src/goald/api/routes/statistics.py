"""What a workflow's goals brought (R12, E9)."""

import re
from datetime import date
from typing import Annotated

from fastapi import Query
from pydantic import BeforeValidator

from goald.api.auth.access import PartsOf, Reads
from goald.api.http.paths import PathId
from goald.api.http.routing import Router
from goald.api.models.statistics import GoalStatistics
from goald.api.problems import BadRequest, NotFoundProblem, responses

router = Router()


def _day(text: object) -> object:
    """A date alone: Pydantic would take a number, or a time at midnight, too."""
    if isinstance(text, str) and not re.fullmatch(r"(19|2\d)\d\d-\d\d-\d\d", text, re.ASCII):
        raise ValueError("a date from 1900 to 2999 is wanted, such as 2026-01-31")
    return text


Day = Annotated[date, BeforeValidator(_day)]


@router.get(
    "/api/v1/workflows/{workflow_id}/goals/stats",
    tags=["statistics"],
    summary="How many enrollments reached their goals, and how soon",
    operation_id="get_goal_statistics",
    responses=responses(400, 404),
)
async def get_goal_statistics(
    workflow_id: PathId,
    caller: Reads,
    parts: PartsOf,
    first: Annotated[
        Day | None, Query(alias="from", description="enrollments that began on this day or later")
    ] = None,
    last: Annotated[
        Day | None, Query(alias="to", description="enrollments that began on this day or earlier")
    ] = None,
) -> GoalStatistics:
    """Counts are those of the commits: what has been achieved a moment ago is among them.

    Days are in UTC, both ends included, and choose enrollments by when they began: an
    achievement counts for the day of its enrollment, so that a rate never compares people with
    others. Enrollments that began before 2000-01-01 count on that day, and those that began
    after 2100-01-01 on that.
    """
    if first is not None and last is not None and first > last:
        raise BadRequest(
            f"`from` is after `to`: {first} is later than {last}",
            errors=[{"parameter": "from", "detail": f"is after `to`, {last}"}],
        )
    found = await parts.statistics.read(caller.tenant_id, workflow_id, first, last)
    if found is None:
        raise NotFoundProblem(f"There is no workflow {workflow_id}")
    return GoalStatistics.of(workflow_id, found)
