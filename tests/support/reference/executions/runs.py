"""Executions, workflows, and the changes of an evaluation."""

from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.reference.executions.plans import Plan

STATUS = {
    "queued": "QUEUED",
    "ready": "ACTIVE",
    "running": "ACTIVE",
    "failed": "FAILED",
}
"""All other states are PAUSED."""


@dataclass
class Workflow:
    """A workflow with the versions of its definition."""

    id: str
    versions: dict[int, Plan] = field(default_factory=dict)
    current: int | None = None
    is_active: bool = True
    activated_at: int | None = None
    overdue: str = "run"


@dataclass(frozen=True)
class Run:
    """An execution. Times are milliseconds. Changes make another one."""

    id: str
    contact: str
    workflow: str
    version: int
    started_at: int
    state: str = "queued"
    step: int = 0
    visit: int = 1
    attempt: int = 0
    retries: int = 0
    hops: int = 0
    zone: str = "UTC"
    since: int = 0
    since_seq: int = 0
    """Of a wait for an event: the sequence within `since` of the entry with which it began."""
    due: int | None = None
    done: frozenset[str] = frozenset()
    used: frozenset[str] = frozenset()
    migrates: bool = False
    ended: str | None = None
    job: str | None = None
    """The key of the job that the last evaluation published."""

    @property
    def has_permit(self) -> bool:
        return self.ended is None and self.state in ("ready", "running")

    def but(self, **changes: Any) -> "Run":
        return replace(self, **changes)

    @property
    def status(self) -> str:
        if self.ended is not None:
            return "COMPLETED" if self.ended in ("finished", "goal_achieved") else "CANCELLED"
        return STATUS.get(self.state, "PAUSED")


@dataclass
class Evaluated:
    """The result of an evaluation, which may be committed."""

    before: dict[str, Run] = field(default_factory=dict)
    after: dict[str, Run] = field(default_factory=dict)
    """The changed executions, by id."""
    first_phase: set[str] = field(default_factory=set)
    """Those that only events have changed."""
    closes: set[str] = field(default_factory=set)
    """Those whose gates must be closed."""
    used: set[tuple[str, str, str]] = field(default_factory=set)
    """(workflow, event key, run) of the events that met the goal of a run."""
    ended_by_event: set[str] = field(default_factory=set)
    """The runs whose enrollments another program has ended."""
    logs: list[tuple[str | None, str, int, str | None, int]] = field(default_factory=list)
    """(execution, event type, time, step, attempt)."""
    answers: list[tuple[str, str]] = field(default_factory=list)
    """(request, answer)."""
    delays: list[tuple[str, int | None]] = field(default_factory=list)
    notifications: list[tuple[str, str]] = field(default_factory=list)
