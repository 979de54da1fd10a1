"""Made traffic for the demo: contacts of tenant `demo` who enrol, look around, and reach what
their workflow was for, or not. Pure: the seed and the times are passed in, nothing is sent.
"""

import random
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

TENANT = "demo"
SOURCE = "goald/demo"

Event: TypeAlias = dict[str, Any]
"""A CloudEvent as a map."""
Step: TypeAlias = tuple[str, dict[str, Any]]
"""The type of an event, and its data without the contact."""

CONTACTS = 5_000
OPEN_AT_ONCE = 2_000
FEW_OPEN = 40
"""Below this many open enrollments nearly every other event enrols somebody."""

GOALS: dict[str, tuple[Step, ...]] = {
    "lead-nurturing": (("contact.tag.added", {"tag_name": "Customer"}),),
    "upsell-campaign": (("payment.completed", {"amount": "149.90", "currency": "USD"}),),
    "consultation-booking": (("appointment.booked", {"calendar_id": "cal-456"}),),
    "contact-form-follow-up": (("form.submitted", {"form_id": "form-123"}),),
    "sales-pipeline": (
        ("pipeline.stage.changed", {"pipeline_id": "pipe-123", "stage_id": "stage-789"}),
    ),
    "onboarding": (
        ("form.submitted", {"form_id": "form-profile"}),
        ("appointment.booked", {"calendar_id": "cal-support"}),
        ("payment.completed", {"amount": "12.50", "currency": "USD"}),
    ),
}
"""What completes an enrollment in each workflow of demo.yaml."""

OTHERWISE: tuple[Step, ...] = (
    ("contact.tag.added", {"tag_name": "Newsletter"}),
    ("payment.completed", {"amount": "8.00", "currency": "EUR"}),
    ("form.submitted", {"form_id": "form-feedback"}),
    ("pipeline.stage.changed", {"pipeline_id": "pipe-123", "stage_id": "stage-400"}),
    ("page.visited", {"path": "/pricing"}),
    ("email.opened", {"campaign": "spring"}),
)
"""What contacts do beside it. Some of these types goald does not read; and a small payment
does meet the goal of who is being onboarded."""

MALFORMED: tuple[Callable[[Event], Event], ...] = (
    lambda event: event | {"time": "yesterday"},
    lambda event: {name: value for name, value in event.items() if name != "source"},
    lambda event: event | {"type": 7},
    lambda event: _payment(event, amount="1e1000000"),
    lambda event: _payment(event, amount="NaN"),
)
"""What a broken producer sends: each of these belongs in goald:dead."""


@dataclass(slots=True)
class _Enrollment:
    id: str
    workflow_id: str
    contact_id: str
    done: int = 0
    """How many steps of the workflow's goals have been taken."""


class DemoTraffic:
    """An endless run of events, the same for the same seed and times.

    Contacts are the same at each start. Enrollment ids are new at each, since an enrollment
    ends only once: `started_at` is part of what they are made from. Memory is bounded.
    """

    def __init__(self, *, seed: int, started_at: datetime) -> None:
        people = random.Random(f"{seed}")
        self._contacts = [_uuid(people) for _ in range(CONTACTS)]
        self._random = random.Random(f"{seed} {started_at.isoformat()}")
        self._open: list[_Enrollment] = []
        self._sent: deque[Event] = deque(maxlen=200)
        self._made = 0

    def next(self, now: datetime) -> Event:
        """The next event; it happens at `now`, an aware time."""
        chance = self._random.random()
        if chance < 0.01 and self._sent:
            return self._random.choice(self._sent)  # a producer that sends twice
        if chance < 0.02:
            return self._malformed(now)
        event = self._regular(now)
        self._sent.append(event)
        return event

    def _regular(self, now: datetime) -> Event:
        chance = self._random.random()
        few = len(self._open) < FEW_OPEN
        if len(self._open) < OPEN_AT_ONCE and chance < (0.5 if few else 0.04):
            return self._enrol(now)
        if self._open and self._random.random() < 0.04:
            return self._advance(now)
        if self._open and self._random.random() < 0.01:
            return self._end(now)
        kind, data = self._random.choice(OTHERWISE)
        return self._event(kind, self._somebody(), data, now)

    def _enrol(self, now: datetime) -> Event:
        enrollment = _Enrollment(
            id=_uuid(self._random),
            workflow_id=self._random.choice(list(GOALS)),
            contact_id=self._random.choice(self._contacts),
        )
        self._open.append(enrollment)
        data = {
            "workflow_id": enrollment.workflow_id,
            "enrollment_id": enrollment.id,
            "pending_actions": self._random.randrange(5),
        }
        return self._event("workflow.enrollment.started", enrollment.contact_id, data, now)

    def _advance(self, now: datetime) -> Event:
        """Somebody takes the next step towards what the workflow is for."""
        place = self._random.randrange(len(self._open))
        enrollment = self._open[place]
        steps = GOALS[enrollment.workflow_id]
        kind, data = steps[enrollment.done]
        enrollment.done += 1
        if enrollment.done == len(steps):
            self._drop(place)
        return self._event(kind, enrollment.contact_id, data, now)

    def _end(self, now: datetime) -> Event:
        """Somebody leaves a workflow without its goal."""
        enrollment = self._drop(self._random.randrange(len(self._open)))
        data = {
            "workflow_id": enrollment.workflow_id,
            "enrollment_id": enrollment.id,
            "reason": self._random.choice(("completed", "exited", "cancelled")),
        }
        return self._event("workflow.enrollment.ended", enrollment.contact_id, data, now)

    def _malformed(self, now: datetime) -> Event:
        kind, data = self._random.choice(OTHERWISE[:4])
        event = self._event(kind, self._somebody(), data, now)
        return self._random.choice(MALFORMED)(event)

    def _somebody(self) -> str:
        if self._open and self._random.random() < 0.5:
            return self._random.choice(self._open).contact_id
        return self._random.choice(self._contacts)

    def _drop(self, place: int) -> _Enrollment:
        """Remove an open enrollment, in constant time; their order means nothing."""
        self._open[place], self._open[-1] = self._open[-1], self._open[place]
        return self._open.pop()

    def _event(self, kind: str, contact_id: str, data: dict[str, Any], now: datetime) -> Event:
        self._made += 1
        moment = now + timedelta(microseconds=self._made % 1_000)  # no two quite at once
        return {
            "specversion": "1.0",
            "id": _uuid(self._random),
            "source": SOURCE,
            "type": kind,
            "time": moment.isoformat(),
            "tenantid": TENANT,
            "data": {"contact_id": contact_id, **data},
        }


def _payment(event: Event, amount: str) -> Event:
    data = {"contact_id": event["data"]["contact_id"], "amount": amount, "currency": "USD"}
    return event | {"type": "payment.completed", "data": data}


def _uuid(source: random.Random) -> str:
    return str(uuid.UUID(int=source.getrandbits(128), version=4))
