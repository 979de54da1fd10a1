"""Ended enrollments (E18): answers the questions of an evaluation, and loads the table of contacts
that have some."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from goald import _native
from goald.ports.shard_store import EndedCheck, WatchedRun, WatchedRuns

EndedAnswer: TypeAlias = tuple[str, str, str, Sequence[tuple[str, bool]], Sequence[WatchedRun]]
"""Tenant, contact, workflow, events and whether they have counted there, enrollments."""


MOST_QUESTIONS: Final = 4
"""How often Postgres is asked for a group. An event asks after it was found that tags are not new,
and that it does not count for active enrollments."""


@dataclass
class KnownEnded:
    """The answers to the questions of the evaluations of a group."""

    _events: dict[tuple[str, str, str], dict[str, bool]] = field(default_factory=dict)
    _runs: dict[tuple[str, str, str], dict[str, WatchedRun]] = field(default_factory=dict)
    _answers: int = 0

    @property
    def is_exhausted(self) -> bool:
        """Whether Postgres is not asked again, except about the first event: events that would ask
        wait for a later group. So the number of evaluations of a group is bounded (D8)."""
        return self._answers >= MOST_QUESTIONS

    def open(self, proposal: _native.Proposal) -> list[EndedCheck]:
        """Return the questions of an evaluation that are not answered yet."""
        checks = {EndedCheck(*row) for row in proposal.ended_checks}
        return sorted(
            check for check in checks if check.event not in self._events.get(check[:3], {})
        )

    def answer(self, checks: Sequence[EndedCheck], found: WatchedRuns) -> bool:
        """Take the answers to these questions. Returns whether the evaluation must be repeated,
        because it assumed that no enrollment has ended before the group for which the events may
        count, and that the events have not counted."""
        self._answers += 1
        differs = False
        for check in checks:
            runs = found.runs.get(check[:3], ())
            known = self._runs.setdefault(check[:3], {})
            known |= {run.enrollment_id: run for run in runs}
            counted = check in found.counted
            self._events.setdefault(check[:3], {})[check.event] = counted
            differs |= check.counts if counted else any(map(check.may_count, runs))
        return differs

    def rows(self) -> list[EndedAnswer]:
        """Return the answers for `_native.Matcher.evaluate`."""
        return [
            (*key, list(events.items()), list(self._runs[key].values()))
            for key, events in self._events.items()
        ]
