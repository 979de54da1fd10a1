"""The evidence of a run: the changes of gates in Redis, the calls that the provider received, the
rows in Postgres, and the events that were sent."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

Key: TypeAlias = tuple[str, str]
"""Tenant and execution."""


class Job(NamedTuple):
    """A job that was published."""

    execution: Key
    step: str
    attempt: int
    key: str
    """The idempotency key."""


class Passage(NamedTuple):
    """A worker passed a gate."""

    position: int
    """In the order of Redis."""
    at_ms: int
    """By Redis, when its script began."""
    worker: str


@dataclass
class Exit:
    """An exit that was published, any number of times."""

    position: int
    """Of its first publication."""
    ids: set[str]
    in_flight: bool | None
    """`action_in_flight`; None if the exit does not have it."""
    passed: tuple[str, ...]
    """The gates that were passed and had no result when the exit was published first."""


@dataclass
class RedisHistory:
    """The changes in Redis, in its order."""

    position: int = 0
    """The number of changes until now."""
    losses: int = 0
    """How often all data was deleted."""
    jobs: dict[str, Job] = field(default_factory=dict)
    """By gates."""
    gates: dict[Key, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Of each execution."""
    passages: dict[str, list[Passage]] = field(default_factory=lambda: defaultdict(list))
    """Of each gate."""
    exits: dict[Key, Exit] = field(default_factory=dict)
    passed_closed: list[str] = field(default_factory=list)
    """Gates that were passed after they were closed."""
    returned: int = 0
    """How often a worker was too slow for the call and returned its gate."""
    _closed: set[str] = field(default_factory=set)
    _passed: set[str] = field(default_factory=set)
    """Gates that are passed and have no result."""

    def add_job(self, gate: str, job: Job) -> None:
        self.jobs[gate] = job
        self.gates[job.execution].append(gate)

    def add_passage(self, gate: str, passage: Passage) -> None:
        if gate in self._closed:
            self.passed_closed.append(gate)
        self.passages[gate].append(passage)
        self._passed.add(gate)

    def return_gate(self, gate: str) -> None:
        self._passed.discard(gate)
        self.returned += 1

    def close(self, gate: str) -> None:
        """The holder has closed a gate that was passed."""
        self._closed.add(gate)

    def end(self, gate: str, *, was_passed: bool) -> None:
        """A gate was closed while it was open, or has its result."""
        self._passed.discard(gate)
        if not was_passed:
            self._closed.add(gate)

    def lose(self) -> None:
        """All data was deleted: no gate is passed in Redis any more."""
        self._passed.clear()
        self.losses += 1

    def add_exit(self, event: Mapping[str, Any]) -> None:
        """An exit was published, for the first time or again."""
        data = event["data"]
        execution = event["tenantid"], data["enrollment_id"]
        found = self.exits.get(execution)
        if found is not None:
            found.ids.add(event["id"])
            return
        passed = tuple(gate for gate in self.gates[execution] if gate in self._passed)
        self.exits[execution] = Exit(
            self.position, {event["id"]}, data.get("action_in_flight"), passed
        )


@dataclass(frozen=True)
class Call:
    """A call that the provider received."""

    key: str
    """The idempotency key."""
    execution: Key
    step: str
    at_ns: int
    """When its last byte arrived."""
    answered_ns: int | None
    """None if it was not answered."""
    is_repeated: bool
    """Whether the provider knew the key, and performed nothing."""
    body: str = ""


class StoredExecution(NamedTuple):
    """The row of an execution at the end."""

    execution: Key
    contact: str
    status: str
    reason: str | None
    committed_us: int
    """When the last change of the row was committed: that which ended it."""


class Stop(NamedTuple):
    """A process was stopped with SIGSTOP."""

    pid: int
    from_ns: int
    to_ns: int


@dataclass
class Evidence:
    """Everything that the oracle judges. Times are those of the machine's clock."""

    redis: RedisHistory
    calls: Sequence[Call]
    executions: Mapping[Key, StoredExecution]
    started: Mapping[tuple[str, str], bool]
    """By tenant and contact, which each have one execution: whether the event that meets the goal
    was sent."""
    steps: Sequence[str]
    """The steps of the workflows, which all call the provider."""
    stops: Sequence[Stop] = ()
    """Of workers."""
