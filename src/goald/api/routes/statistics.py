"""The statistics of a workflow's goals (E9)."""

import re
from datetime import date
from typing import Annotated

from fastapi import Query
from pydantic import BeforeValidator

from goald.api.auth.access import Reads
from goald.api.dependencies import Deps
from goald.api.http.paths import PathId
from goald.api.http.routing import Router
from goald.api.models.statistics import GoalStatistics
from goald.api.problems import BadRequest, NotFoundProblem, responses

router = Router()


def _day(text: object) -> object:
    """Accept a date only. Pydantic also accepts a number, or a time at midnight."""
    if isinstance(text, str) and not re.fullmatch(r"(19|2\d)\d\d-\d\d-\d\d", text, re.ASCII):
        raise ValueError("must be a date from 1900 to 2999, such as 2026-01-31")
    return text


Day = Annotated[date, BeforeValidator(_day)]


@router.get(
    "/api/v1/workflows/{workflow_id}/goals/stats",
    tags=["statistics"],
    summary="Get the statistics of a workflow's goals",
    operation_id="get_goal_statistics",
    responses=responses(400, 404),
)
async def get_goal_statistics(
    workflow_id: PathId,
    caller: Reads,
    deps: Deps,
    first: Annotated[
        Day | None,
        Query(alias="from", description="Only enrollments that began on this day or later."),
    ] = None,
    last: Annotated[
        Day | None,
        Query(alias="to", description="Only enrollments that began on this day or earlier."),
    ] = None,
) -> GoalStatistics:
    """Counts include every committed achievement.

    `from` and `to` are days in UTC, both included, and select enrollments by when they began: an
    achievement counts on the day of its enrollment, so that a rate always compares the same
    enrollments. Enrollments that began before 2000-01-01 count on that day, and those that began
    after 2100-01-01 on that day.
    """
    if first is not None and last is not None and first > last:
        raise BadRequest(
            f"`from` is after `to`: {first} is later than {last}",
            errors=[{"parameter": "from", "detail": f"is after `to`, {last}"}],
        )
    found = await deps.readers.statistics.read(caller.tenant_id, workflow_id, first, last)
    if found is None:
        raise NotFoundProblem(f"There is no workflow {workflow_id}")
    return GoalStatistics.of(workflow_id, found)
