"""The part of a dry run about enrollments that have ended (E18): for which of them an event would
count, and why not for the others."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from goald import _native
from goald.domain.records.enrollment import Enrollment
from goald.pipeline.shard.known.ended import KnownEnded
from goald.ports.shard_store import EndedCheck, WatchedRun, WatchedRuns

TOO_MANY: Final = "not known: more active enrollments than are read come first"
COUNTED: Final = "the event has counted in this workflow"
MET: Final = "its goals were met after its end"
NOT_WATCHED: Final = "not watched when the event arrives"
BEFORE: Final = "before enrollment"
STARTED_IT: Final = "the event started the enrollment"
OTHER: Final = "the event counts for another enrollment, or its values differ"

Evaluate = Callable[[KnownEnded], _native.Proposal]
"""Evaluates the event with these answers."""


@dataclass(frozen=True, slots=True)
class EndedOutcomes:
    """The enrollments for which an event counts after their end, and why not for others."""

    achieved: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By enrollment: the goals that the event meets. None if all were met before."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """By enrollment in a workflow whose goals the event matches: why it does not count."""


async def explain_ended(
    evaluate: Evaluate,
    read: Callable[[Sequence[EndedCheck]], Awaitable[WatchedRuns]],
    ended: Sequence[Enrollment],
    *,
    is_truncated: bool,
) -> EndedOutcomes:
    """Evaluate an event, asking about ended enrollments as a shard does. `is_truncated`: the
    matcher has only a part of the active enrollments of the contact, which come first."""
    known, answers = KnownEnded(), _Answers()
    while True:
        proposal = await asyncio.to_thread(evaluate, known)
        checks = known.open(proposal)
        if not checks:
            break
        found = await read(checks)
        answers.add(checks, found)
        if not known.answer(checks, found):
            break
    if is_truncated:
        asked = {check.workflow_id for check in answers.checks.values()}
        return EndedOutcomes(reasons={r.id: TOO_MANY for r in ended if r.workflow_id in asked})
    achieved: dict[str, list[str]] = {}
    effects, achievements = proposal.effects, proposal.achievements
    for enrollment, after_end in zip(effects.enrollment_id, effects.after_end, strict=True):
        if after_end:
            achieved[enrollment] = []
    for effect, goal in zip(achievements.effect, achievements.goal_id, strict=True):
        if effects.after_end[effect]:
            achieved[effects.enrollment_id[effect]].append(goal)
    reasons = {row.id: answers.reason(row) for row in ended if row.id not in achieved}
    return EndedOutcomes(achieved, {id_: why for id_, why in reasons.items() if why is not None})


class _Answers:
    """The questions about one event, by workflow, and their answers."""

    def __init__(self) -> None:
        self.checks: dict[str, EndedCheck] = {}
        self._runs: dict[str, WatchedRun] = {}
        self._counted: set[str] = set()

    def add(self, checks: Sequence[EndedCheck], found: WatchedRuns) -> None:
        self.checks |= {check.workflow_id: check for check in checks}
        self._counted |= {check.workflow_id for check in found.counted}
        self._runs |= {run.enrollment_id: run for runs in found.runs.values() for run in runs}

    def reason(self, row: Enrollment) -> str | None:
        """Why the event does not count for an enrollment. None if no goal was compared."""
        check, run = self.checks.get(row.workflow_id), self._runs.get(row.id)
        if check is None or row.status == "completed_goal":
            return None
        if row.workflow_id in self._counted:
            return COUNTED
        if row.met_after_end_at is not None:
            return MET
        if row.enrolled_at > check.time:
            return BEFORE
        if run is not None and run.started_by == check.event:
            return STARTED_IT
        return OTHER if run is not None and check.may_count(run) else NOT_WATCHED
