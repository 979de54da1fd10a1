"""The cost of events in a tenant's quota: by size, or by the work that is known of an event if that
is more (D8)."""

import json
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from goald.api.publishing import UNIT_BYTES, size_units, units
from goald.metrics.api import ApiMetrics
from goald.pipeline.intake import intake

NOW_US = 1_772_409_600_000_000
IDS = {"workflow_id": "w", "enrollment_id": "e-1"}
ORDER = [{"product_id": f"prod-{n:06}", "quantity": 2, "price": "19.90"} for n in range(10)]
DENSE = [{"product_id": "p"}] * 2_500


def cost(kind: str, **data: Any) -> tuple[int, int]:
    """The units of an event, and its size in started KiB."""
    event = {
        "id": "ev-1",
        "source": "test",
        "type": kind,
        "time": "2026-03-01T00:00:00Z",
        "data": {"contact_id": "ann", **data},
    }
    found = intake(json.dumps(event).encode(), "acme", NOW_US)
    assert not found.refused
    return units(found.accepted), -(-len(found.accepted[0].payload) // UNIT_BYTES)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("contact.tag.added", {"tag_name": "Customer"}),
        ("payment.completed", {"amount": "19.90", "product_id": "p-1"}),
        ("payment.completed", {"line_items": ORDER}),
        ("payment.completed", {"line_items": DENSE}),
        ("appointment.booked", {"calendar_id": "k-1"}),
        ("form.submitted", {"form_id": "f-1"}),
        ("form.submitted", {f"note-{n}": "x" * 1_000 for n in range(60)}),
        ("pipeline.stage.changed", {"stage_id": "s-1"}),
        ("workflow.enrollment.started", IDS),
        ("workflow.enrollment.ended", IDS | {"reason": "exited"}),
        ("workflow.exit.acknowledged", IDS),
        ("contact.updated", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_ordinary_event_costs_its_size(kind: str, data: dict[str, Any]) -> None:
    charged, size = cost(kind, **data)
    assert charged == size


def test_deletion_costs_its_work() -> None:
    assert cost("contact.deleted") == (2, 1)
    charged, size = cost("contact.deleted", **{f"note-{n}": "x" * 1_000 for n in range(60)})
    assert charged == size > 2


def test_units_of_work_are_counted_apart_from_those_of_size() -> None:
    registry = CollectorRegistry()
    body = b'{"id":"1","source":"s","type":"contact.deleted","time":"2026-03-01T00:00:00Z",'
    events = intake(body + b'"data":{"contact_id":"ann"}}', "acme", NOW_US).accepted
    ApiMetrics(registry).count_units(size_units(events), units(events))
    counts = [
        registry.get_sample_value("goald_api_event_units_total", {"reason": reason})
        for reason in ("size", "work")
    ]
    assert counts == [1, 1]
