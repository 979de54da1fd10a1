"""The records of the model: configuration, enrollments, and the effects of events."""

from dataclasses import dataclass, field
from typing import Any

from tests.support.reference.reading import Event

EventId = tuple[str, str]
"""Source and id."""


@dataclass(frozen=True)
class Goal:
    """One goal of a workflow. Times in microseconds; criteria as decoded JSON.

    `effective_from_us` is None if the goal was never activated: it matches no event.
    """

    id: str
    goal_type: str
    criteria: dict[str, Any]
    is_active: bool = True
    effective_from_us: int | None = 0
    created_us: int = 0
    position: int = 0
    check_on_enrollment: bool = False
    conversion_window_us: int | None = None
    """For how long after the enrollment it watches an ended one (E18). None: `Model.late_us`."""


@dataclass(frozen=True)
class Workflow:
    """The configuration of a workflow, with its goals from the oldest to the newest."""

    goal_logic: str
    is_active: bool
    goals: tuple[Goal, ...]


@dataclass
class Enrollment:
    """One contact's run through one workflow."""

    tenant: str
    id: str
    contact: str
    workflow: str
    enrolled_at_us: int
    status: str = "active"
    met: list[str] = field(default_factory=list)
    """Goal ids, in the order in which they were achieved."""
    ended_at_us: int | None = None
    """The time of the event that ended it."""
    pending_actions: int | None = None
    started_by: EventId | None = None
    match: dict[str, str] = field(default_factory=dict)
    """The values that goals may compare with events (E17)."""
    missed: "JudgedEvent | None" = None
    """The first event that would have counted while the workflow was paused (E19)."""
    excluded: frozenset[EventId] = frozenset()
    """Events that had counted for earlier runs of the contact when it started (E11)."""
    met_after_end_us: int | None = None
    """The time of the event with which its goals were met after it had ended (E18)."""
    start_is_known: bool = False
    """Its start was received before its end, and it has not moved since it ended when it began."""
    began_us: int = 0
    """The earlier of `enrolled_at_us` and when its start was received."""
    contacts: list[tuple[int, str]] = field(default_factory=list)
    """Its contacts, each with the time of receipt from which on (E21)."""

    def contact_at(self, received_us: int) -> str:
        """Its contact when Redis received an event."""
        earlier = [contact for since, contact in self.contacts if since <= received_us]
        return earlier[-1]


@dataclass(frozen=True)
class JudgedEvent:
    """An event, with the facts that goals compare: of a list, the tags that were new then (E16)."""

    event: Event
    facts: dict[str, Any]
    received_us: int = 0
    """When Redis received it, or its own time."""


@dataclass(frozen=True)
class Achievement:
    """An enrollment met a goal. Unique by (tenant, enrollment, goal)."""

    tenant: str
    workflow: str
    enrollment: str
    contact: str
    goal: str
    goal_type: str
    achieved_at_us: int
    event_id: str
    event_source: str
    after_end: bool = False


@dataclass(frozen=True)
class Exit:
    """The command that ends an enrollment because its goals are met. One per enrollment."""

    tenant: str
    workflow: str
    enrollment: str
    contact: str
    goal_type: str
    """The type of the goals that the completing event matched."""
    goal_ids: tuple[str, ...]
    """All achieved goals: first those no longer configured, then from the oldest to the newest."""
    achieved_at_us: int
    event_id: str
    event_source: str


@dataclass
class Outcome:
    """The effects of one event. All fields are empty if the event changed nothing."""

    started: list[str] = field(default_factory=list)
    """Enrollment ids, as in `ended` and `cancelled`."""
    ended: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    achieved: list[Achievement] = field(default_factory=list)
    exited: list[Exit] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    """Enrollments whose exit a workflow engine has executed."""
    reversed: tuple[str, str | None] | None = None
    """The goal type of which the event undoes a payment or an appointment, and its id."""
    rejected: str | None = None
    """The category of RejectedError; `enrollment`: another contact or workflow has the id;
    `ended`: the id is of a run that has ended; `limit`: the contact has reached the limit of
    active enrollments."""
    described: bool = False
    """The event only describes its contact."""
    ignored: bool = False
    """The event has a type that goald does not process."""
