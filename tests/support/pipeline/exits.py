"""Exits that are published for a reader."""

import json
from typing import Any


def exit_event(number: int, **changes: Any) -> str:
    return json.dumps(
        {
            "specversion": "1.0",
            "id": f"x-{number}",
            "source": "goald",
            "type": "workflow.exit.goal",
            "time": "2026-01-02T03:04:06Z",
            "tenantid": "acme",
            "traceparent": "00-1-2-01",
            "data": {
                "workflow_id": "w-1",
                "contact_id": "c-1",
                "enrollment_id": f"n-{number}",
                "exit_reason": "goal_achieved",
                "goal_type": "tag_added",
                "goal_ids": ["g-1", "g-2"],
                "achieved_at": "2026-01-02T03:04:05.000001Z",
                "cancel": ["pending_actions", "wait_steps"],
                "trigger_event": {"id": "e-1", "source": "crm", "type": "contact.tag.added"},
                "occurred_at": "2026-01-02T03:04:05.000001Z",
                "received_at": "2026-01-02T03:04:05.100Z",
                "published_at": "2026-01-02T03:04:05.200Z",
            },
            **changes,
        }
    )


async def publish(client: Any, *numbers: int) -> None:
    async with client.pipeline(transaction=False) as pipe:
        for number in numbers:
            pipe.xadd("goald:exits", {"event": exit_event(number)})
        await pipe.execute()


async def pending(client: Any) -> int:
    return int((await client.xpending("goald:exits", "engine"))["pending"])
