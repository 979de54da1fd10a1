"""The demo's traffic on its way to a real Redis."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from tests.support.services.redis_proxy import Proxy

from goald.client import Publisher
from goald.domain.streams import partition_of
from goald.redis_keys import event_stream
from goald.runtime.demo.tenant import traffic

DEADLINE_S = 60.0


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Any]:
    async with Redis.from_url(redis_url) as client:
        yield client


async def count(client: Any) -> int:
    return sum([await client.xlen(event_stream(partition)) for partition in range(4)])


async def wait_for(client: Any, more_than: int) -> int:
    async with asyncio.timeout(DEADLINE_S):
        while (found := await count(client)) <= more_than:
            await asyncio.sleep(0.02)
    return found


async def test_it_sends_to_the_streams_of_the_contacts_until_it_is_stopped(
    client: Any, redis_url: str
) -> None:
    stop = asyncio.Event()
    async with Publisher(redis_url) as publisher:
        sending = asyncio.create_task(traffic(publisher, stop, rate=2_000))
        await wait_for(client, 500)
        stop.set()
        await asyncio.wait_for(sending, DEADLINE_S)
    for partition in range(4):
        for _, fields in await client.xrange(event_stream(partition)):
            event = json.loads(fields[b"event"])
            assert partition_of("demo", event["data"]["contact_id"], 4) == partition


async def test_it_goes_on_when_redis_is_back(client: Any, redis_url: str) -> None:
    stop = asyncio.Event()
    async with (
        Proxy(redis_url.removeprefix("unix://")) as proxy,
        Publisher(proxy.url, buffer_events=100, patience_s=0.1) as publisher,
    ):
        sending = asyncio.create_task(traffic(publisher, stop, rate=2_000))
        before = await wait_for(client, 100)
        proxy.cut()
        async with asyncio.timeout(DEADLINE_S):
            while len(publisher._buffer) < 100:  # full: from here on events are left out
                await asyncio.sleep(0.02)
        proxy.mend()
        assert await wait_for(client, before + 1_000) >= before + 1_000
        stop.set()
        await asyncio.wait_for(sending, DEADLINE_S)
