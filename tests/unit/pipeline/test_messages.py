"""Messages can be built from every valid event and stream entry."""

import json
from datetime import UTC, datetime

import orjson
import pytest

from goald import _native
from goald.client import event
from goald.domain.streams import OutboundStream
from goald.pipeline.shard.commit import change_of

NOW_US = 1_795_000_000_000_000
GOAL = "0b9c1f0e-3a52-4a52-9d5e-6a7b8c9d0e1f"


def matcher() -> _native.Matcher:
    """Return a matcher with a workflow `w` whose goal is the tag `Customer`."""
    matcher = _native.Matcher()
    goal = {
        "id": GOAL,
        "goal_type": "tag_added",
        "criteria": json.dumps({"tag_name": "Customer"}),
        "is_active": True,
        "effective_from": 0,
        "created_at": 0,
        "position": 0,
    }
    matcher.update_workflows(
        [
            {
                "tenant_id": "acme",
                "workflow_id": "w",
                "goal_logic": "any",
                "is_active": True,
                "goals": [goal],
            }
        ]
    )
    return matcher


@pytest.mark.parametrize("entry_ms", [253_402_300_800_000, 2**63, 2**64 - 1])
def test_entry_id_beyond_the_calendar_does_not_prevent_the_exit(entry_ms: int) -> None:
    """A producer may choose an entry's id. If the exit failed, the shard would fail again at each
    start (D4)."""
    time = datetime(2026, 11, 1, tzinfo=UTC)
    started = {"workflow_id": "w", "enrollment_id": "e-1"}
    events = [
        event("workflow.enrollment.started", "acme", "ann", started, time=time),
        event("contact.tag.added", "acme", "ann", {"tag_name": "Customer"}, time=time),
    ]
    routed = _native.Router(bytes(_native.SLOTS)).route(
        [[f"{entry_ms}-1".encode(), [b"event", json.dumps(each).encode()]] for each in events]
    )
    proposal = matcher().evaluate([buffer for _, buffer, _ in routed.buffers], NOW_US)
    exits = [
        row for row in change_of(proposal, NOW_US).outbox if row.stream is OutboundStream.EXITS
    ]
    received = [orjson.loads(row.payload)["data"]["received_at"] for row in exits]
    assert received == ["9999-12-31T23:59:59.999999Z"]
