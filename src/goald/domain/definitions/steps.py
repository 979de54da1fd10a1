"""The steps of a workflow, as its definition lists them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final, Literal, TypeAlias

from goald.domain.configuration.criteria import Criterion
from goald.domain.configuration.goals import GoalType
from goald.domain.definitions.conditions import Condition

ListensFor: TypeAlias = GoalType | Literal["contact.updated"]
"""The kinds of events that start an execution or end a wait: those of the goal types, and changed
contacts."""
OnExhausted: TypeAlias = Literal["fail", "continue"]
OnRejected: TypeAlias = Literal["continue", "fail"]
OnUnknown: TypeAlias = Literal["continue", "retry", "fail"]
Allow: TypeAlias = Literal["after_exit", "once", "always"]
ON_EXHAUSTED: Final[tuple[OnExhausted, ...]] = ("fail", "continue")
ON_REJECTED: Final[tuple[OnRejected, ...]] = ("continue", "fail")
ON_UNKNOWN: Final[tuple[OnUnknown, ...]] = ("continue", "retry", "fail")
ALLOW: Final[tuple[Allow, ...]] = ("after_exit", "once", "always")
"""The first of each is the default."""

MAX_STEPS: Final = 100
MAX_DEPTH: Final = 10
"""Levels of steps: those of the definition are at level 1."""


@dataclass(frozen=True, slots=True)
class EventPattern:
    """The events that start an execution or end a wait. `criteria`: those of the goal type; empty
    for contact.updated, for which `changed` are the attributes of which the event gives at least
    one (none: any), and `condition` must hold after the event."""

    on: ListensFor
    criteria: Mapping[str, Criterion] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class ErrorPolicy:
    """How the errors of an action are handled (X5). None: as the tenant's settings say. Durations
    are microseconds."""

    max_attempts: int | None = None
    """How often the action is retried; 0: never."""
    base_delay: int | None = None
    """The delay before the first retry; each further one is twice as long."""
    on_exhausted: OnExhausted = "fail"
    """After the last retry."""
    on_rejected: OnRejected = "continue"
    """After an error that a retry cannot help."""
    on_unknown: OnUnknown = "continue"
    """After a call whose outcome is unknown, if the provider does not honour the key (X4)."""


@dataclass(frozen=True, slots=True)
class ActionStep:
    """A side effect. `config`: the fields under `with`. `max_lateness`: see X7; microseconds."""

    id: str
    action: str
    config: Mapping[str, Any]
    connection: str | None = None
    errors: ErrorPolicy = ErrorPolicy()
    max_lateness: int | None = None


@dataclass(frozen=True, slots=True)
class ConditionStep:
    """Continues with one of two branches, then with the step after it."""

    id: str
    condition: Condition
    then: tuple["Step", ...]
    otherwise: tuple["Step", ...] = ()


@dataclass(frozen=True, slots=True)
class DurationWait:
    """A wait of elapsed time, in microseconds."""

    id: str
    duration: int


@dataclass(frozen=True, slots=True)
class ClockWait:
    """A wait for a wall time, in the zone of the step, of the contact, of the workflow, or UTC: the
    first of these that is known. Ends at the first such time that is later than its begin, on one
    of `weekdays`, or on `day`. A time that a zone skips is the first instant after the gap; of a
    time that occurs twice it is the first."""

    id: str
    second: int
    """Of the day, from 0 to 86,399."""
    weekdays: frozenset[int] = frozenset(range(7))
    """Monday is 0."""
    day: date | None = None
    """If it is set, `weekdays` are all. A time in the past ends the wait immediately."""
    timezone: str | None = None


@dataclass(frozen=True, slots=True)
class EventWait:
    """A wait for an event, at most for `timeout` microseconds if it is set. Continues with `then`
    after the event and with `otherwise` after the time-out, then with the step after it."""

    id: str
    pattern: EventPattern
    timeout: int | None = None
    then: tuple["Step", ...] = ()
    otherwise: tuple["Step", ...] = ()


@dataclass(frozen=True, slots=True)
class ExitStep:
    """Completes the execution."""

    id: str


Step: TypeAlias = ActionStep | ConditionStep | DurationWait | ClockWait | EventWait | ExitStep


@dataclass(frozen=True, slots=True)
class Reentry:
    """When a contact may start the workflow again (X9). `min_interval`: microseconds since the last
    start; 0: none."""

    allow: Allow = "after_exit"
    min_interval: int = 0


@dataclass(frozen=True, slots=True)
class WorkflowDefinition:
    """A valid definition."""

    steps: tuple[Step, ...]
    trigger: EventPattern | None = None
    """None: executions are started through the API only."""
    reentry: Reentry = Reentry()
    timezone: str | None = None
    max_lateness: int | None = None
    """Of the actions that have none, in microseconds."""


def branches_of(step: Step) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """Return the steps of the two branches of a step; none for a step without branches."""
    if isinstance(step, ConditionStep | EventWait):
        return step.then, step.otherwise
    return (), ()


def walk_steps(steps: Sequence[Step]) -> Iterator[Step]:
    """Yield all steps in the order of the document: a step, its branches, the step after it."""
    for step in steps:
        yield step
        for branch in branches_of(step):
            yield from walk_steps(branch)
