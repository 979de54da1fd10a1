"""The events of one round, generated from a seed: enrollments, goal events and duplicates.

The expected result does not depend on how often goald reads an event, or from which position it
reads a stream again, as long as the order of each contact's events holds. So reading the history
once determines which exits and achievements there must be, whatever fails meanwhile.

The tenants have contacts, enrollments and workflows with the same ids under different rules, so
that an effect for the wrong tenant is found.
"""

import json
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import msgpack
from tests.support.reference import Goal, Model

Event: TypeAlias = dict[str, Any]

TENANTS = ("north", "south")
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)

_ORDER = {"north": "20.00", "south": "50.00"}
_ACTIVE = {"north": "Active", "south": "Awake"}
_RULES: dict[str, tuple[str, tuple[tuple[str, str, dict[str, str]], ...]]] = {
    "first-order": (
        "any",
        (
            ("order", "purchase_made", {"min_amount": "", "currency": "EUR"}),
            ("talk", "appointment_booked", {"calendar_id": "sales"}),
        ),
    ),
    "onboarding": (
        "all",
        (
            ("welcome", "form_submitted", {"form_id": "welcome"}),
            ("live", "pipeline_stage_reached", {"stage_id": "live"}),
        ),
    ),
    "re-engage": ("any", (("active", "tag_added", {"tag_name": ""}),)),
}


def rules(tenant: str) -> list[tuple[str, str, list[Goal]]]:
    """The tenant's workflows: id, logic, and goals identified by key."""
    workflows = []
    for workflow, (logic, goals) in _RULES.items():
        own_goals = [
            Goal(key, kind, _criteria(tenant, criteria), position=place)
            for place, (key, kind, criteria) in enumerate(goals)
        ]
        workflows.append((workflow, logic, own_goals))
    return workflows


def configuration(tenant: str) -> str:
    """The configuration file for `goald apply` with the same rules."""
    workflows = [
        {
            "id": workflow,
            "name": workflow,
            "goal_logic": logic,
            "active": True,
            "goals": [
                {
                    "key": goal.id,
                    "goal_type": goal.goal_type,
                    "criteria": goal.criteria,
                    "effective_from": "1970-01-01T00:00:00Z",
                }
                for goal in goals
            ],
        }
        for workflow, logic, goals in rules(tenant)
    ]
    return json.dumps({"tenant": tenant, "workflows": workflows})  # JSON is YAML, too


def configured_model() -> Model:
    """The reference model with every tenant's rules and no enrollment."""
    model = Model()
    for tenant in TENANTS:
        for workflow, logic, goals in rules(tenant):
            model.configure(tenant, workflow, logic, True, goals)
    return model


def _criteria(tenant: str, criteria: dict[str, str]) -> dict[str, Any]:
    own = {"min_amount": _ORDER.get(tenant, "1"), "tag_name": _ACTIVE.get(tenant, "Any")}
    return {name: value or own[name] for name, value in criteria.items()}


@dataclass(frozen=True)
class Shape:
    """The size of a history."""

    contacts: int = 40
    """Contacts of each tenant."""
    actions: int = 8
    """Approximate events of each contact; the first is an enrollment."""
    repeated: float = 0.2
    """Share of events that are published a second time, later."""
    reordered: float = 0.05
    """Share of events that are moved among the events of other contacts."""
    deletions: bool = True
    """Whether contacts are deleted. Messages of deleted contacts are not stored, so they cannot be
    published again after Redis loses data."""


def history(seed: int, prefix: str, shape: Shape = Shape()) -> list[Event]:
    """The events of a round in the order of publication. All ids begin with `prefix`."""
    rng = random.Random(seed)
    contacts = [
        _Contact(rng, tenant, f"{prefix}-c{number}", shape).actions()
        for number in range(shape.contacts)
        for tenant in TENANTS
    ]
    waiting = [(deque(actions), deque[Event]()) for actions in contacts]
    events: list[Event] = []
    while waiting:
        turn = rng.randrange(len(waiting))
        new, duplicates = waiting[turn]
        if duplicates and (not new or rng.random() < 0.3):
            events.append(duplicates.popleft())
        else:
            moment = _BEGAN + timedelta(seconds=len(events) + 1, microseconds=rng.randrange(10**6))
            event = _at(moment, new.popleft(), f"{prefix}-{len(events)}")
            events.append(event)
            if rng.random() < shape.repeated:
                duplicates.append(event)
        if not new and not duplicates:
            waiting[turn] = waiting[-1]
            waiting.pop()
    return _reordered(rng, events, shape.reordered)


def contact_of(event: Event) -> tuple[str, str]:
    """The tenant and the contact of an event."""
    return event["tenantid"], event["data"]["contact_id"]


def encoded(event: Event) -> bytes:
    """The event as bytes, in JSON or MessagePack, always the same for one event."""
    if hash_of(event["id"]) % 2:
        return json.dumps(event).encode()
    packed: bytes = msgpack.packb(event)
    return packed


def hash_of(text: str) -> int:
    """A number that is the same in every process."""
    return sum(text.encode())


def started(
    tenant: str, contact: str, enrollment: str, workflow: str, moment: datetime, event_id: str
) -> Event:
    """An event that starts an enrollment."""
    data = {"workflow_id": workflow, "enrollment_id": enrollment}
    return _event("workflow.enrollment.started", tenant, contact, event_id, moment, data)


def tagged(tenant: str, contact: str, event_id: str, moment: datetime) -> Event:
    """An event that achieves the goal of `re-engage`."""
    data = {"tag_name": _ACTIVE[tenant]}
    return _event("contact.tag.added", tenant, contact, event_id, moment, data)


def merged(tenant: str, contact: str, into: str, event_id: str, moment: datetime) -> Event:
    """An event that merges a contact into another."""
    return _event("contact.merged", tenant, contact, event_id, moment, {"into_contact_id": into})


@dataclass(frozen=True)
class _Action:
    """An event without a time. It happened `late` seconds before its publication."""

    kind: str
    tenant: str
    contact: str
    data: dict[str, Any]
    late: float = 0.0


class _Contact:
    """The actions of one contact."""

    def __init__(self, rng: random.Random, tenant: str, contact: str, shape: Shape) -> None:
        self._rng = rng
        self._tenant = tenant
        self._contact = contact
        self._deletions = shape.deletions
        self._action_count = rng.randint(max(2, shape.actions // 2), shape.actions * 3 // 2)
        self._enrollments: list[tuple[str, str]] = []

    def actions(self) -> Iterator[_Action]:
        yield self._enroll()
        for _ in range(self._action_count):
            turn = self._rng.random()
            if turn < 0.20:
                yield self._enroll()
            elif turn < 0.26:
                yield self._end()
            elif turn < 0.28 and self._deletions:
                yield self._action("contact.deleted", {})
            elif turn < 0.31:
                yield self._reused_id()
            else:
                yield self._goal_event()

    def _enroll(self) -> _Action:
        workflow = self._rng.choice(list(_RULES))
        enrollment = f"{self._contact}-e{len(self._enrollments)}"
        self._enrollments.append((enrollment, workflow))
        return self._started(enrollment, workflow)

    def _started(self, enrollment: str, workflow: str) -> _Action:
        data = {"workflow_id": workflow, "enrollment_id": enrollment}
        return self._action("workflow.enrollment.started", data)

    def _reused_id(self) -> _Action:
        """An enrollment id that is used again for another workflow, which is dead-lettered."""
        enrollment, workflow = self._rng.choice(self._enrollments)
        others = [name for name in _RULES if name != workflow]
        return self._started(enrollment, self._rng.choice(others))

    def _end(self) -> _Action:
        enrollment, workflow = self._rng.choice(self._enrollments)
        reason = self._rng.choice(("completed", "exited", "cancelled"))
        data = {"workflow_id": workflow, "enrollment_id": enrollment, "reason": reason}
        return self._action("workflow.enrollment.ended", data)

    def _goal_event(self) -> _Action:
        rng = self._rng
        late = rng.choice((0.0, 0.0, 0.0, 50.0, 5_000.0))
        kind = rng.randrange(5)
        if kind == 0:
            amount = rng.choice(("19.99", "20.00", "49.99", "50.00", "120.5"))
            currency = rng.choice(("EUR", "EUR", "USD"))
            return self._action("payment.completed", {"amount": amount, "currency": currency}, late)
        if kind == 1:
            calendar = rng.choice(("sales", "support"))
            return self._action("appointment.booked", {"calendar_id": calendar}, late)
        if kind == 2:
            form = rng.choice(("welcome", "welcome", "survey"))
            return self._action("form.submitted", {"form_id": form}, late)
        if kind == 3:
            stage = rng.choice(("live", "live", "trial"))
            data = {"pipeline_id": "main", "stage_id": stage}
            return self._action("pipeline.stage.changed", data, late)
        tag = rng.choice(("Active", "Awake", "Cold"))
        return self._action("contact.tag.added", {"tag_name": tag}, late)

    def _action(self, kind: str, data: dict[str, Any], late: float = 0.0) -> _Action:
        return _Action(kind, self._tenant, self._contact, data, late)


def _at(moment: datetime, action: _Action, event_id: str) -> Event:
    happened = moment - timedelta(seconds=action.late)
    return _event(action.kind, action.tenant, action.contact, event_id, happened, action.data)


def _event(
    kind: str, tenant: str, contact: str, event_id: str, moment: datetime, data: dict[str, Any]
) -> Event:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "urn:fault-suite",
        "type": kind,
        "time": moment.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "tenantid": tenant,
        "data": {"contact_id": contact, **data},
    }


def _reordered(rng: random.Random, events: list[Event], share: float) -> list[Event]:
    """Move this share of the events back by some places, except past events of the same contact."""
    moved = list(events)
    for _ in range(round(len(events) * share)):
        source = rng.randrange(len(moved))
        target = min(len(moved) - 1, source + rng.randint(1, 20))
        contact = contact_of(moved[source])
        if all(contact_of(other) != contact for other in moved[source + 1 : target + 1]):
            moved.insert(target, moved.pop(source))
    return moved
