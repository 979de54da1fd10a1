"""The workload of the end-to-end benchmarks: contacts, enrollments, and events of all types.

By default 100,000 contacts with 3 enrollments each, in three workflows with one goal. Events
are evenly distributed over contacts and types. A given share of them achieves a goal, each for
a different enrollment.
"""

import random
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgpack

TENANT = "bench"
ENROLLED_AT = datetime(2026, 1, 1, tzinfo=UTC)
WORKFLOWS = """\
tenant: bench
workflows:
  - id: lead-nurturing
    name: Lead Nurturing
    goal_logic: any
    active: true
    goals:
      - goal_type: tag_added
        criteria: {tag_name: Customer}
        effective_from: 2026-01-01T00:00:00Z
  - id: upsell
    name: Upsell Campaign
    goal_logic: any
    active: true
    goals:
      - goal_type: purchase_made
        criteria: {min_amount: "100.00"}
        effective_from: 2026-01-01T00:00:00Z
  - id: consultation
    name: Consultation Booking
    goal_logic: any
    active: true
    goals:
      - goal_type: appointment_booked
        criteria: {calendar_id: cal-456}
        effective_from: 2026-01-01T00:00:00Z
"""
WORKFLOW_IDS = ("lead-nurturing", "upsell", "consultation")


def contact_id(number: int) -> str:
    return str(uuid.UUID(int=(0xC0 << 120) | number, version=4))


def slot_of(contact: str) -> int:
    return zlib.crc32(f"{TENANT}\x1f{contact}".encode()) % 256


@dataclass(frozen=True)
class Workload:
    """The size of the workload."""

    contacts: int = 100_000
    events: int = 500_000
    achieving: float = 0.01
    seed: int = 7

    @property
    def achievements(self) -> int:
        """The number of achievements that the events cause."""
        return round(self.events * self.achieving)

    def enrollments(self) -> Iterator[tuple[str, str, str, str, int, datetime]]:
        """Rows of (tenant, enrollment, contact, workflow, slot, enrolled_at)."""
        for number in range(self.contacts):
            contact = contact_id(number)
            for index, workflow in enumerate(WORKFLOW_IDS):
                enrollment = str(uuid.UUID(int=(0xE0 << 120) | (number * 3 + index), version=4))
                yield TENANT, enrollment, contact, workflow, slot_of(contact), ENROLLED_AT

    def timed_events(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """(slot, event as a map), in order of publication."""
        rng = random.Random(self.seed)
        contacts = [contact_id(number) for number in range(self.contacts)]
        slots = [slot_of(contact) for contact in contacts]
        winners = rng.sample(range(self.contacts * 3), self.achievements)
        at = set(rng.sample(range(self.events), self.achievements))
        start = ENROLLED_AT + timedelta(days=1)
        for number in range(self.events):
            if number in at:
                contact, workflow = divmod(winners.pop(), 3)
                name, data = _achieving(workflow)
            else:
                contact = rng.randrange(self.contacts)
                name, data = _other(rng, number)
            data["contact_id"] = contacts[contact]
            time = (start + timedelta(milliseconds=number)).isoformat(timespec="milliseconds")
            yield (
                slots[contact],
                {
                    "specversion": "1.0",
                    "id": f"01JD{number:022d}",
                    "source": "urn:bench:platform",
                    "type": name,
                    "time": time,
                    "tenantid": TENANT,
                    "data": data,
                },
            )

    def encoded(self) -> Iterator[tuple[int, bytes]]:
        """(slot, event in MessagePack), in order of publication."""
        for slot, event in self.timed_events():
            yield slot, msgpack.packb(event)


def _achieving(workflow: int) -> tuple[str, dict[str, object]]:
    if workflow == 0:
        return "contact.tag.added", {"tag_id": "tag-77", "tag_name": "Customer"}
    if workflow == 1:
        return "payment.completed", {"amount": "149.50", "currency": "EUR", "product_id": "p-1"}
    return "appointment.booked", {"calendar_id": "cal-456", "service_id": "svc-1"}


def _other(rng: random.Random, number: int) -> tuple[str, dict[str, object]]:
    kind = rng.randrange(5)
    if kind == 0:
        return "contact.tag.added", {"tag_id": "tag-3", "tag_name": "Prospect"}
    if kind == 1:
        amount = f"{rng.randrange(100, 9_900) / 100:.2f}"
        return "payment.completed", {"amount": amount, "currency": "EUR", "product_id": "p-1"}
    if kind == 2:
        return "appointment.booked", {"calendar_id": "cal-789", "appointment_id": f"a-{number}"}
    if kind == 3:
        return "form.submitted", {"form_id": "form-9", "submission_id": f"s-{number}"}
    return "pipeline.stage.changed", {"pipeline_id": "pipe-1", "stage_id": "stage-2"}
