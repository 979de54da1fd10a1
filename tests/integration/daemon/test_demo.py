"""The demo sends its traffic to a real Redis."""

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
from goald.runtime.demo.tenant import send_traffic

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


async def test_each_event_goes_to_the_stream_of_its_contact(client: Any, redis_url: str) -> None:
    stop = asyncio.Event()
    async with Publisher(redis_url) as publisher:
        sending = asyncio.create_task(send_traffic(publisher, stop, rate=2_000))
        await wait_for(client, 500)
        stop.set()
        await asyncio.wait_for(sending, DEADLINE_S)
    for partition in range(4):
        for _, fields in await client.xrange(event_stream(partition)):
            event = json.loads(fields[b"event"])
            assert partition_of("demo", event["data"]["contact_id"], 4) == partition


async def test_sending_continues_after_an_outage_of_redis(client: Any, redis_url: str) -> None:
    stop = asyncio.Event()
    async with (
        Proxy(redis_url.removeprefix("unix://")) as proxy,
        Publisher(proxy.url, buffer_events=100, patience_s=0.1) as publisher,
    ):
        sending = asyncio.create_task(send_traffic(publisher, stop, rate=2_000))
        before = await wait_for(client, 100)
        proxy.cut()
        async with asyncio.timeout(DEADLINE_S):
            while len(publisher._buffer) < 100:  # full: further events are skipped
                await asyncio.sleep(0.02)
        proxy.restore()
        assert await wait_for(client, before + 1_000) >= before + 1_000
        stop.set()
        await asyncio.wait_for(sending, DEADLINE_S)
