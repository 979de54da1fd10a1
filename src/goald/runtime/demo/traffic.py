"""Generated traffic for the demo: contacts of tenant `demo` enroll, do other things, and reach
the goal of their workflow or do not. Pure: seed and times are passed in, nothing is sent.
"""

import random
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from goald.runtime.demo.trials import Action, Trials

TENANT = "demo"
SOURCE = "goald/demo"

Event: TypeAlias = dict[str, Any]
"""A CloudEvent as a map."""

CONTACTS = 5_000
MAX_OPEN = 2_000
FEW_OPEN = 40
"""Below this number of open enrollments, about every second event starts one."""
TRIALS = 0.002
"""The part of the events that start a trial: an execution of `trial-welcome` about every 2 s."""

GOALS: dict[str, tuple[Action, ...]] = {
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
"""The actions that complete an enrollment, for each workflow of demo.yaml without steps."""

OTHER_ACTIONS: tuple[Action, ...] = (
    ("contact.tag.added", {"tag_name": "Newsletter"}),
    ("payment.completed", {"amount": "8.00", "currency": "EUR"}),
    ("form.submitted", {"form_id": "form-feedback"}),
    ("pipeline.stage.changed", {"pipeline_id": "pipe-123", "stage_id": "stage-400"}),
    ("page.visited", {"path": "/pricing"}),
    ("email.opened", {"campaign": "spring"}),
)
"""Actions that complete no enrollment, except that a small payment meets a goal of the
onboarding. goald ignores some of these event types."""

MALFORMED: tuple[Callable[[Event], Event], ...] = (
    lambda event: event | {"time": "yesterday"},
    lambda event: {name: value for name, value in event.items() if name != "source"},
    lambda event: event | {"type": 7},
    lambda event: _payment(event, amount="1e1000000"),
    lambda event: _payment(event, amount="NaN"),
)
"""Changes that make an event malformed, as a broken producer sends it. goald dead-letters each."""


@dataclass(slots=True)
class _Enrollment:
    id: str
    workflow_id: str
    contact_id: str
    done: int = 0
    """Actions of the workflow's goals that the contact has done."""


class DemoTraffic:
    """An endless sequence of events, the same for the same seed and times.

    The contacts depend on the seed only. The enrollment ids depend on `started_at` too, because
    an ended enrollment never becomes active again. Memory is bounded.
    """

    def __init__(self, *, seed: int, started_at: datetime) -> None:
        people = random.Random(f"{seed}")
        self._contacts = [_uuid(people) for _ in range(CONTACTS)]
        self._random = random.Random(f"{seed} {started_at.isoformat()}")
        self._open: list[_Enrollment] = []
        self._trials = Trials(self._random)
        self._sent: deque[Event] = deque(maxlen=200)
        self._count = 0

    def next(self, now: datetime) -> Event:
        """The next event, with the time `now`, which must be aware."""
        chance = self._random.random()
        if chance < 0.01 and self._sent:
            return self._random.choice(self._sent)  # a duplicate
        if chance < 0.02:
            return self._malformed(now)
        event = self._regular(now)
        self._sent.append(event)
        return event

    def _regular(self, now: datetime) -> Event:
        if due := self._trials.due(now):
            contact_id, (kind, data) = due
            return self._event(kind, contact_id, data, now)
        chance = self._random.random()
        if chance < TRIALS:
            contact_id = self._random.choice(self._contacts)
            kind, data = self._trials.start(contact_id, now)
            return self._event(kind, contact_id, data, now)
        few = len(self._open) < FEW_OPEN
        if len(self._open) < MAX_OPEN and chance < (0.5 if few else 0.04):
            return self._enroll(now)
        if self._open and self._random.random() < 0.04:
            return self._advance(now)
        if self._open and self._random.random() < 0.01:
            return self._end(now)
        kind, data = self._random.choice(OTHER_ACTIONS)
        return self._event(kind, self._random_contact(), data, now)

    def _enroll(self, now: datetime) -> Event:
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
        """A contact does the next action towards the goals of its workflow."""
        place = self._random.randrange(len(self._open))
        enrollment = self._open[place]
        actions = GOALS[enrollment.workflow_id]
        kind, data = actions[enrollment.done]
        enrollment.done += 1
        if enrollment.done == len(actions):
            self._remove(place)
        return self._event(kind, enrollment.contact_id, data, now)

    def _end(self, now: datetime) -> Event:
        """A contact leaves a workflow without reaching its goal."""
        enrollment = self._remove(self._random.randrange(len(self._open)))
        data = {
            "workflow_id": enrollment.workflow_id,
            "enrollment_id": enrollment.id,
            "reason": self._random.choice(("completed", "exited", "cancelled")),
        }
        return self._event("workflow.enrollment.ended", enrollment.contact_id, data, now)

    def _malformed(self, now: datetime) -> Event:
        kind, data = self._random.choice(OTHER_ACTIONS[:4])
        event = self._event(kind, self._random_contact(), data, now)
        return self._random.choice(MALFORMED)(event)

    def _random_contact(self) -> str:
        if self._open and self._random.random() < 0.5:
            return self._random.choice(self._open).contact_id
        return self._random.choice(self._contacts)

    def _remove(self, place: int) -> _Enrollment:
        """Remove an open enrollment in constant time, without keeping their order."""
        self._open[place], self._open[-1] = self._open[-1], self._open[place]
        return self._open.pop()

    def _event(self, kind: str, contact_id: str, data: dict[str, Any], now: datetime) -> Event:
        self._count += 1
        moment = now + timedelta(microseconds=self._count % 1_000)  # so that no two times are equal
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
