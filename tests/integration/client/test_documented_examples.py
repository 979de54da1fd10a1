"""The examples in the docstring of the client, run unchanged."""

import asyncio
import json
import subprocess
import sys
from typing import Any

from redis.asyncio import Redis
from tests.support.pipeline.exits import pending, publish

from goald.client import __doc__ as client_documentation

DEADLINE_S = 20


async def test_the_documented_examples_run(redis_url: str) -> None:
    """The examples of the package's docstring, run unchanged."""
    client: Any = Redis.from_url(redis_url)
    async with client:
        await publish(client, 1)
        ended: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

        async def end_enrollment(workflow_id: str, enrollment_id: str) -> int:
            ended.put_nowait((workflow_id, enrollment_id))
            return 2

        send, process = documented_examples(redis_url, end_enrollment=end_enrollment)
        await send()
        assert len(await client.keys("goald:events:*")) == 1
        processing = asyncio.create_task(process())
        async with asyncio.timeout(DEADLINE_S):
            assert await ended.get() == ("w-1", "n-1")
            while await pending(client):
                pass
        processing.cancel()
        await asyncio.wait([processing])
        events = [
            json.loads(fields[b"event"])["type"]
            for key in await client.keys("goald:events:*")
            for _, fields in await client.xrange(key)
        ]
    assert sorted(events) == ["form.submitted", "workflow.exit.acknowledged"]


def documented_examples(url: str, **names: Any) -> list[Any]:
    """The indented blocks of the package's docstring, each as a coroutine function."""
    assert client_documentation
    blocks: list[list[str]] = []
    for line in client_documentation.splitlines():
        if line.startswith("    "):
            if blocks and blocks[-1]:
                blocks[-1].append(line)
            else:
                blocks.append([line])
        elif line:
            blocks.append([])
        elif blocks and blocks[-1]:
            blocks[-1].append(line)
    functions = []
    for block in filter(None, blocks):
        code = "async def example():\n" + "\n".join(block)
        scope = dict(names)
        exec(code.replace("redis://localhost", url), scope)  # noqa: S102
        functions.append(scope["example"])
    return functions


def test_the_client_needs_redis_alone() -> None:
    unwanted = {"ray", "asyncpg", "pydantic", "msgpack", "goald._native", "goald.adapters"}
    program = f"import sys, goald.client; print({unwanted} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert found.stdout.strip() == b"set()"
