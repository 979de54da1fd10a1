"""What happens to the contacts of one round, made from a seed: rules, events, repeats.

Everything is such that what goald must end with does not depend on how often it is given an
event, or from where on a stream is read again, as long as the order within each contact holds:
no event is older than its contact's next enrollment began later. So a plain play of the
history says exactly which exits and achievements there must be, whatever fails meanwhile.

The tenants have contacts, enrollments and workflows of the same names under other rules: what
goes to the wrong tenant shows.
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
    """The tenant's workflows: id, logic and goals, each known by its key."""
    found = []
    for workflow, (logic, goals) in _RULES.items():
        made = [
            Goal(key, kind, _criteria(tenant, criteria), position=place)
            for place, (key, kind, criteria) in enumerate(goals)
        ]
        found.append((workflow, logic, made))
    return found


def configuration(tenant: str) -> str:
    """The file for `goald apply` with the same rules."""
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
    """The reference model with every tenant's rules, and nobody enrolled."""
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
    """How much happens."""

    contacts: int = 40
    """Of each tenant."""
    steps: int = 8
    """Of each contact, about; the first is an enrollment."""
    repeated: float = 0.2
    """Share of events that come a second time, later."""
    reordered: float = 0.05
    """Share that is moved among the events of other contacts."""
    deletions: bool = True
    """Whether contacts are deleted. What was published of one that is deleted is not kept, and
    cannot be published again: with them, a Redis that loses its data loses exits."""


def history(seed: int, prefix: str, shape: Shape = Shape()) -> list[Event]:
    """The events of a round, in the order in which they are published. `prefix` makes the
    ids of contacts, enrollments and events this round's own."""
    rng = random.Random(seed)
    ways = [
        _Contact(rng, tenant, f"{prefix}-c{number}", shape).way()
        for number in range(shape.contacts)
        for tenant in TENANTS
    ]
    waiting = [(deque(way), deque[Event]()) for way in ways]
    made: list[Event] = []
    while waiting:
        turn = rng.randrange(len(waiting))
        fresh, again = waiting[turn]
        if again and (not fresh or rng.random() < 0.3):
            made.append(again.popleft())
        else:
            moment = _BEGAN + timedelta(seconds=len(made) + 1, microseconds=rng.randrange(10**6))
            event = _at(moment, fresh.popleft(), f"{prefix}-{len(made)}")
            made.append(event)
            if rng.random() < shape.repeated:
                again.append(event)
        if not fresh and not again:
            waiting[turn] = waiting[-1]
            waiting.pop()
    return _reordered(rng, made, shape.reordered)


def contact_of(event: Event) -> tuple[str, str]:
    """Tenant and contact."""
    return event["tenantid"], event["data"]["contact_id"]


def encoded(event: Event) -> bytes:
    """As bytes: JSON or MessagePack, always the same for one event."""
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
    """An enrollment begins."""
    data = {"workflow_id": workflow, "enrollment_id": enrollment}
    return _event("workflow.enrollment.started", tenant, contact, event_id, moment, data)


def tagged(tenant: str, contact: str, event_id: str, moment: datetime) -> Event:
    """What `re-engage` waits for."""
    data = {"tag_name": _ACTIVE[tenant]}
    return _event("contact.tag.added", tenant, contact, event_id, moment, data)


@dataclass(frozen=True)
class _Step:
    """An event without its time: `late` is how many seconds before its turn it happened."""

    kind: str
    tenant: str
    contact: str
    data: dict[str, Any]
    late: float = 0.0


class _Contact:
    """One contact's way through the workflows."""

    def __init__(self, rng: random.Random, tenant: str, contact: str, shape: Shape) -> None:
        self._rng = rng
        self._tenant = tenant
        self._contact = contact
        self._deletions = shape.deletions
        self._steps = rng.randint(max(2, shape.steps // 2), shape.steps * 3 // 2)
        self._enrollments: list[tuple[str, str]] = []

    def way(self) -> Iterator[_Step]:
        yield self._enrol()
        for _ in range(self._steps):
            turn = self._rng.random()
            if turn < 0.20:
                yield self._enrol()
            elif turn < 0.26:
                yield self._end()
            elif turn < 0.28 and self._deletions:
                yield self._step("contact.deleted", {})
            elif turn < 0.31:
                yield self._stolen()
            else:
                yield self._goal_event()

    def _enrol(self) -> _Step:
        workflow = self._rng.choice(list(_RULES))
        enrollment = f"{self._contact}-e{len(self._enrollments)}"
        self._enrollments.append((enrollment, workflow))
        return self._started(enrollment, workflow)

    def _started(self, enrollment: str, workflow: str) -> _Step:
        data = {"workflow_id": workflow, "enrollment_id": enrollment}
        return self._step("workflow.enrollment.started", data)

    def _stolen(self) -> _Step:
        """An enrollment id that comes back for another workflow: nothing but a dead letter."""
        enrollment, workflow = self._rng.choice(self._enrollments)
        others = [name for name in _RULES if name != workflow]
        return self._started(enrollment, self._rng.choice(others))

    def _end(self) -> _Step:
        enrollment, workflow = self._rng.choice(self._enrollments)
        reason = self._rng.choice(("completed", "exited", "cancelled"))
        data = {"workflow_id": workflow, "enrollment_id": enrollment, "reason": reason}
        return self._step("workflow.enrollment.ended", data)

    def _goal_event(self) -> _Step:
        rng = self._rng
        late = rng.choice((0.0, 0.0, 0.0, 50.0, 5_000.0))
        kind = rng.randrange(5)
        if kind == 0:
            amount = rng.choice(("19.99", "20.00", "49.99", "50.00", "120.5"))
            currency = rng.choice(("EUR", "EUR", "USD"))
            return self._step("payment.completed", {"amount": amount, "currency": currency}, late)
        if kind == 1:
            calendar = rng.choice(("sales", "support"))
            return self._step("appointment.booked", {"calendar_id": calendar}, late)
        if kind == 2:
            form = rng.choice(("welcome", "welcome", "survey"))
            return self._step("form.submitted", {"form_id": form}, late)
        if kind == 3:
            stage = rng.choice(("live", "live", "trial"))
            data = {"pipeline_id": "main", "stage_id": stage}
            return self._step("pipeline.stage.changed", data, late)
        tag = rng.choice(("Active", "Awake", "Cold"))
        return self._step("contact.tag.added", {"tag_name": tag}, late)

    def _step(self, kind: str, data: dict[str, Any], late: float = 0.0) -> _Step:
        return _Step(kind, self._tenant, self._contact, data, late)


def _at(moment: datetime, step: _Step, event_id: str) -> Event:
    happened = moment - timedelta(seconds=step.late)
    return _event(step.kind, step.tenant, step.contact, event_id, happened, step.data)


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
    """So many of the events, each some places further on, unless that would overtake or be
    overtaken by another of its contact."""
    moved = list(events)
    for _ in range(round(len(events) * share)):
        source = rng.randrange(len(moved))
        target = min(len(moved) - 1, source + rng.randint(1, 20))
        contact = contact_of(moved[source])
        if all(contact_of(other) != contact for other in moved[source + 1 : target + 1]):
            moved.insert(target, moved.pop(source))
    return moved
