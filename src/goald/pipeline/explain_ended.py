"""The part of a dry run about enrollments that have ended (E18): for which of them an event would
count, and why not for the others."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
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
OTHER: Final = "the event counts for another enrollment"
DIFFERS: Final = "its values differ from those of the event"
MET_BEFORE: Final = "the goals that the event matches were met before"

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
    reasons: dict[str, str] = {}
    for row in ended:
        reason = None if row.id in achieved else answers.reason(row, achieved)
        if reason == DIFFERS and await asyncio.to_thread(answers.would_count, row, evaluate):
            reason = MET_BEFORE
        if reason is not None:
            reasons[row.id] = reason
    return EndedOutcomes(achieved, reasons)


class _Answers:
    """The questions about one event, by workflow, and their answers."""

    def __init__(self) -> None:
        self.checks: dict[str, EndedCheck] = {}
        self._runs: dict[str, WatchedRun] = {}
        self._workflows: dict[str, str] = {}
        self._counted: set[str] = set()

    def add(self, checks: Sequence[EndedCheck], found: WatchedRuns) -> None:
        self.checks |= {check.workflow_id: check for check in checks}
        self._counted |= {check.workflow_id for check in found.counted}
        for (_, _, workflow), runs in found.runs.items():
            self._runs |= {run.enrollment_id: run for run in runs}
            self._workflows |= {run.enrollment_id: workflow for run in runs}

    def reason(self, row: Enrollment, achieved: Collection[str]) -> str | None:
        """Why the event does not count for an enrollment, if it counts for those `achieved`. None
        if no goal was compared."""
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
        return NOT_WATCHED if run is None else self._reason(run, row.workflow_id, achieved)

    def _reason(self, run: WatchedRun, workflow: str, achieved: Collection[str]) -> str:
        """The same, for an enrollment that Postgres returned."""
        if not self.checks[workflow].may_count(run):
            return NOT_WATCHED
        others = (self._runs[id_] for id_ in achieved if self._workflows.get(id_) == workflow)
        return OTHER if any(_order(each) < _order(run) for each in others) else DIFFERS

    def would_count(self, row: Enrollment, evaluate: Evaluate) -> bool:
        """Whether the event would count for an enrollment that had met no goal. Blocks."""
        check, run = self.checks[row.workflow_id], self._runs[row.id]
        found = WatchedRuns({check[:3]: [run._replace(met_goals=())]}, ())
        known = KnownEnded()
        known.answer([check], found)
        effects = evaluate(known).effects
        return row.id in effects.enrollment_id


def _order(run: WatchedRun) -> tuple[int, int, str]:
    """In which the matcher looks for the enrollment that gets an event."""
    return -run.ended_at, -run.enrolled_at, run.enrollment_id
