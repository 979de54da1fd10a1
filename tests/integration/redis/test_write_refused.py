"""A Redis that refuses commands counts as unavailable, and ends no process (D6)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from goald.adapters.redis.connect import connect
from goald.adapters.redis.events.stream import RedisEventStream
from goald.domain.errors import ServiceUnavailable
from goald.domain.leases import StreamLease
from goald.redis_keys import event_stream

DEADLINE_SECONDS = 60
STREAM = event_stream(0)


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Any]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def stream(redis_url: str) -> AsyncIterator[RedisEventStream]:
    stream = RedisEventStream(redis_url, STREAM)
    await stream.fence(StreamLease(STREAM, 1, "test"))
    yield stream
    await stream.close()


async def read_on(stream: RedisEventStream) -> None:
    while True:
        await stream.read(b"0-0", 10)


async def test_goald_waits_for_a_long_script_of_another_client(
    redis_url: str, client: Any, stream: RedisEventStream
) -> None:
    other = connect(redis_url)
    limit = (await client.config_get("lua-time-limit"))["lua-time-limit"]
    await client.config_set("lua-time-limit", 50)
    script = asyncio.ensure_future(other.eval("while true do end", 0))
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            with pytest.raises(ServiceUnavailable, match="BUSY"):
                await read_on(stream)
    finally:
        await client.script_kill()
        await asyncio.wait({script})
        assert script.exception() is not None
        await client.config_set("lua-time-limit", limit)
        await other.aclose()
    assert await stream.read(b"0-0", 10) == []


async def test_a_primary_that_becomes_a_replica_during_a_wait(
    client: Any, stream: RedisEventStream
) -> None:
    waiting = asyncio.ensure_future(stream.wait(b"0-0", DEADLINE_SECONDS))
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not (await client.info("clients"))["blocked_clients"]:
                await asyncio.sleep(0.01)
            await client.execute_command("REPLICAOF", "127.0.0.1", "1")
            with pytest.raises(ServiceUnavailable, match="UNBLOCKED"):
                await waiting
    finally:
        await client.execute_command("REPLICAOF", "NO", "ONE")
    assert await stream.read(b"0-0", 10) == []
