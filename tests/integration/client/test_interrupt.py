"""Ctrl-C in a program that reads exits, as the documentation shows it."""

import json
import signal
import subprocess
import sys
from typing import Any

import redis as blocking

PROGRAM = """
import asyncio, contextlib, sys
from goald.client import ExitReader

async def main():
    async with ExitReader(sys.argv[1], group=sys.argv[2], consumer="one") as exits:
        async for exit in exits:
            print(exit.tenant_id, exit.contact_id, flush=True)

with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
"""


def reader(url: str, group: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, url, group],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def exit_payload(tenant: str) -> str:
    moment = "2026-01-02T03:04:05Z"
    data = {
        "workflow_id": "w-1",
        "contact_id": "c-1",
        "enrollment_id": "n-1",
        "exit_reason": "goal_achieved",
        "goal_type": "tag_added",
        "goal_ids": ["g-1"],
        "achieved_at": moment,
        "cancel": [],
        "trigger_event": {"id": "e-1", "source": "crm", "type": "contact.tag.added"},
        "occurred_at": moment,
        "received_at": moment,
    }
    envelope = {"id": f"x-{tenant}", "type": "workflow.exit.goal", "time": moment}
    return json.dumps({**envelope, "tenantid": tenant, "data": data})


def interrupt(process: "subprocess.Popen[str]") -> tuple[int, str]:
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def test_ctrl_c_leaves_no_traceback_and_no_pending_call(any_redis_url: str) -> None:
    process = reader(any_redis_url, "engine")
    client: Any = blocking.Redis.from_url(any_redis_url)
    with client:
        client.xadd("goald:exits", {"event": exit_payload("acme")})
        assert process.stdout is not None
        assert process.stdout.readline() == "acme c-1\n"
        assert interrupt(process) == (0, "")


def test_every_group_receives_the_exits_of_all_tenants(any_redis_url: str) -> None:
    with blocking.Redis.from_url(any_redis_url) as client:
        for tenant in ("acme", "beta"):
            client.xadd("goald:exits", {"event": exit_payload(tenant)})
    for group in ("crm", "billing"):
        process = reader(any_redis_url, group)
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["acme c-1\n", "beta c-1\n"]
        assert interrupt(process) == (0, "")
