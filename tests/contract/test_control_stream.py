"""`ports.ControlStream`, which wakes shards when a configuration changes (E10)."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis
from tests.contract.stream_backends import Backend

from goald.adapters.memory.clock import ManualClock
from goald.adapters.redis import RedisControlStream, RedisOutbound
from goald.domain.errors import ServiceUnavailable
from goald.domain.streams import OutboundStream
from goald.ports.control.stream import ControlStream
from goald.ports.outbound import Message
from goald.redis_keys import CONTROL

IMMEDIATELY = 10.0
"""Deadline in seconds for calls that return immediately, even on a busy machine."""
LONG = 60.0


async def returns(control: ControlStream) -> None:
    async with asyncio.timeout(IMMEDIATELY):
        await control.wait(LONG)


async def waits(control: ControlStream) -> "asyncio.Future[None]":
    """A call that is waiting."""
    waiting = asyncio.ensure_future(control.wait(LONG))
    done, _ = await asyncio.wait({waiting}, timeout=0.1)
    assert not done
    return waiting


async def notify(backend: Backend) -> None:
    await backend.outbound().publish([Message(OutboundStream.CONTROL, '{"version": 7}')])


async def test_the_first_call_returns_immediately_and_the_next_waits(backend: Backend) -> None:
    await notify(backend)
    control = backend.control()
    await returns(control)
    (await waits(control)).cancel()


async def test_a_published_message_wakes_every_waiter(backend: Backend) -> None:
    controls = [backend.control(), backend.control()]
    for control in controls:
        await returns(control)
    waiting = [await waits(control) for control in controls]
    await notify(backend)
    async with asyncio.timeout(IMMEDIATELY):
        await asyncio.gather(*waiting)


async def test_a_message_published_between_two_calls_is_not_missed(backend: Backend) -> None:
    control = backend.control()
    await returns(control)
    await notify(backend)
    await returns(control)
    (await waits(control)).cancel()


async def test_simultaneous_messages_wake_a_waiter_once(backend: Backend) -> None:
    control = backend.control()
    await returns(control)
    for _ in range(5):
        await notify(backend)
    await returns(control)
    (await waits(control)).cancel()


async def test_a_wait_without_messages_ends_after_its_time(backend: Backend) -> None:
    control = backend.control()
    await returns(control)
    async with asyncio.timeout(IMMEDIATELY):
        await control.wait(0.05)
    await notify(backend)
    await returns(control)


async def test_after_a_cancelled_call_the_next_returns_immediately(backend: Backend) -> None:
    control = backend.control()
    await returns(control)
    waiting = await waits(control)
    waiting.cancel()
    await asyncio.wait({waiting})
    await returns(control)


async def test_a_flushed_server_still_wakes_waiters(backend: Backend) -> None:
    await notify(backend)
    control = backend.control()
    await returns(control)
    await backend.flush()
    async with asyncio.timeout(IMMEDIATELY):
        await control.wait(0.05)
    await notify(backend)
    await returns(control)


async def test_a_lost_connection_raises_once_and_the_next_wait_reconnects(
    any_redis_url: str,
) -> None:
    control = RedisControlStream(any_redis_url)
    client: Any = Redis.from_url(any_redis_url)
    async with client:
        await returns(control)
        waiting = await waits(control)
        await client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        with pytest.raises(ServiceUnavailable):
            await waiting
        await returns(control)
        waiting = await waits(control)
        await client.xadd(CONTROL, {"event": "{}"})
        async with asyncio.timeout(IMMEDIATELY):
            await waiting
    await control.close()


async def test_the_stream_is_bounded(any_redis_url: str) -> None:
    client: Any = Redis.from_url(any_redis_url)
    outbound = RedisOutbound(any_redis_url, ManualClock())
    async with client:
        await outbound.publish([Message(OutboundStream.CONTROL, "{}")] * 25_000)
        kept = await client.xlen(CONTROL)
    await outbound.close()
    assert 10_000 <= kept < 11_000
