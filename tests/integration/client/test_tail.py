"""`goald.client.tail` over a real Redis."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from redis.asyncio import Redis

from goald.client import tail

DEADLINE_S = 20


@pytest.fixture
async def client(any_redis_url: str) -> AsyncIterator[Any]:
    """A client of an empty server."""
    async with Redis.from_url(any_redis_url) as client:
        yield client


async def publish(client: Any, *numbers: int) -> None:
    async with client.pipeline(transaction=False) as pipe:
        for number in numbers:
            pipe.xadd("goald:exits", {"event": f'{{"id": "x-{number}"}}'})
        await pipe.execute()


async def test_a_tail_from_the_start_ends_with_the_last_entry(
    any_redis_url: str, client: Any
) -> None:
    await publish(client, *range(1_200))
    found = [
        e.event["id"] async for e in tail(any_redis_url, "exits", from_start=True, follow=False)
    ]
    assert found == [f"x-{n}" for n in range(1_200)]


async def test_a_tail_shows_the_last_entries(any_redis_url: str, client: Any) -> None:
    await publish(client, *range(30))
    ten = [e.event["id"] async for e in tail(any_redis_url, "exits", follow=False)]
    three = [e.event["id"] async for e in tail(any_redis_url, "exits", follow=False, count=3)]
    few = [e.event["id"] async for e in tail(any_redis_url, "exits", follow=False, count=100)]
    assert ten == [f"x-{n}" for n in range(20, 30)]
    assert three == ["x-27", "x-28", "x-29"]
    assert len(few) == 30


async def test_a_tail_follows_what_is_added(any_redis_url: str, client: Any) -> None:
    await client.xadd("goald:dead", {"event": b"\xff", "reason": "old"})
    async with asyncio.timeout(DEADLINE_S), aclosing(tail(any_redis_url, "dead")) as entries:
        waiting = asyncio.ensure_future(anext(entries))
        while not waiting.done():
            await client.xadd("goald:dead", {"event": b"\xff", "reason": "new"})
            await asyncio.wait([waiting], timeout=0.01)
        found = await waiting
    assert found.fields == {"event": b"\xff", "reason": b"new"}


async def test_a_tail_ends_after_its_count(any_redis_url: str, client: Any) -> None:
    await publish(client, *range(5))
    async with asyncio.timeout(DEADLINE_S):
        found = [
            e.event["id"] async for e in tail(any_redis_url, "exits", from_start=True, count=3)
        ]
    assert found == ["x-0", "x-1", "x-2"]
