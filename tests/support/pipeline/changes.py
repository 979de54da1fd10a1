"""Changes to be committed, written by hand in the columns of `_native.Proposal`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import NAMESPACE_DNS, uuid5

from goald.domain.configuration.goals import LISTENS_TO, GoalType
from goald.domain.records.enrollment import EnrollmentStatus
from goald.domain.streams import OutboundStream
from goald.ports.change import (
    AchievementColumns,
    Acknowledgement,
    Change,
    ContactEvent,
    ContactMerge,
    Contender,
    Deletion,
    EffectColumns,
    Reversal,
    UsedEvent,
)
from goald.ports.outbox import OutboxRow

NOON = 1_780_000_000_000_000
"""The reference time of the tests, in microseconds since the epoch."""
SECOND = 1_000_000


def goal_id(name: str) -> str:
    return str(uuid5(NAMESPACE_DNS, name))


def goal_type(name: str) -> GoalType:
    """The type of that name; `tag_added` if there is none."""
    return next((known for known in LISTENS_TO if known == name), "tag_added")


@dataclass(frozen=True)
class Effect:
    """The net change to one enrollment; by default a new, active one."""

    enrollment_id: str
    contact_id: str = "ann"
    workflow_id: str = "w-1"
    tenant_id: str = "acme"
    slot: int = 3
    is_new: bool = True
    after_end: bool = False
    """The enrollment has ended and meets goals: `is_new` must be False."""
    status: EnrollmentStatus = "active"
    enrolled_at: int = NOON
    ended_at: int | None = None
    met_goals: Sequence[str] = ()
    pending_actions: int | None = None
    uses_at: int = NOON
    """When the events in `uses` were received."""
    started_by: str | None = None
    match_values: str | None = None
    """A JSON object."""
    after_event: str | None = None
    uses: Sequence[str] = ()
    """Names of events that count for the enrollment."""
    received_at: int | None = None
    """When its start was received, if it is dated ahead of that."""
    merges: Sequence[int] = ()
    """When the merges were received that moved its contact after its start."""
    achieves: Sequence[str] = ()
    """Names of goals: an achievement each. A name that is a type of goal is of that type, any
    other of `tag_added`."""
    achieved_at: int = NOON + SECOND
    event: Mapping[str, str] = field(default_factory=dict)
    """Fields of the event of the achievements, in addition to the name of the goal."""
    event_id: str = ""
    """The id of that event. Default: the name of the goal."""
    messages: Sequence[str] = ()
    """Payloads of outbox rows, for goald:exits."""


def change(
    *effects: Effect,
    deletions: Sequence[tuple[str, str, int, int]] = (),
    acknowledgements: Sequence[tuple[str, str, str, str, int, int | None, int]] = (),
    contenders: Sequence[tuple[int, str, str]] = (),
    reversals: Sequence[tuple[str, str, int, GoalType, str | None, int]] = (),
    contact_events: Sequence[ContactEvent] = (),
    merges: Sequence[ContactMerge] = (),
) -> Change:
    """One batch of these effects, with their achievements and messages."""
    columns = EffectColumns(
        tenant_id=[e.tenant_id for e in effects],
        enrollment_id=[e.enrollment_id for e in effects],
        contact_id=[e.contact_id for e in effects],
        workflow_id=[e.workflow_id for e in effects],
        slot=[e.slot for e in effects],
        is_new=[e.is_new for e in effects],
        after_end=[e.after_end for e in effects],
        status=[e.status for e in effects],
        enrolled_at=[e.enrolled_at for e in effects],
        ended_at=[e.ended_at for e in effects],
        met_goals=[[goal_id(name) for name in e.met_goals] for e in effects],
        pending_actions=[e.pending_actions for e in effects],
        started_by=[e.started_by and goal_id(e.started_by) for e in effects],
        match_values=[e.match_values for e in effects],
        after_event=[e.after_event and goal_id(e.after_event) for e in effects],
        received_at=[e.received_at for e in effects],
        merges=[e.merges for e in effects],
    )
    achieved = [(i, e, name) for i, e in enumerate(effects) for name in e.achieves]
    achievements = AchievementColumns(
        effect=[i for i, _, _ in achieved],
        id=[goal_id(f"{e.enrollment_id}/{name}") for _, e, name in achieved],
        goal_id=[goal_id(name) for _, _, name in achieved],
        goal_type=[goal_type(name) for _, _, name in achieved],
        achieved_at=[e.achieved_at for _, e, _ in achieved],
        trigger_event=[json.dumps({"tag_name": name, **e.event}) for _, e, name in achieved],
        metadata=[json.dumps({"event_id": e.event_id or name}) for _, e, name in achieved],
    )
    outbox = [
        OutboxRow(i, f"{e.enrollment_id}/{n}", OutboundStream.EXITS, payload)
        for i, e in enumerate(effects)
        for n, payload in enumerate(e.messages)
    ]
    return Change(
        columns,
        achievements,
        outbox,
        [Deletion(*row) for row in deletions],
        [Acknowledgement(*row) for row in acknowledgements],
        [Contender(*row) for row in contenders],
        [Reversal(*row) for row in reversals],
        [UsedEvent(i, goal_id(name), e.uses_at) for i, e in enumerate(effects) for name in e.uses],
        contact_events,
        merges=merges,
    )


def goal_met(enrollment: str, *, is_new: bool = False, messages: tuple[str, ...] = ()) -> Effect:
    """An enrollment that has met its goal, and its messages."""
    return Effect(
        enrollment,
        is_new=is_new,
        status="completed_goal",
        ended_at=NOON + SECOND,
        met_goals=["g"],
        achieves=["g"],
        messages=messages,
    )
