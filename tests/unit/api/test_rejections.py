"""Responses to rejected callers are delayed if there are too many (D8)."""

import asyncio
from collections.abc import Awaitable, Callable

from tests.support.pipeline.virtual_time import LoopClock, VirtualTimeLoop

from goald.api.rejections import (
    DELAY_S,
    DELAYED_PER_SECOND,
    TOTAL_PER_SECOND,
    RejectionLimiter,
)
from goald.runtime.http.connections import CONNECTIONS

A, B = "192.0.2.1", "192.0.2.2"


def run(scenario: Callable[[LoopClock], Awaitable[None]]) -> None:
    """Run a scenario on virtual time."""
    loop = VirtualTimeLoop()
    try:
        loop.run_until_complete(scenario(LoopClock(loop, 0)))
    finally:
        loop.close()


async def never() -> None:
    """The client stays connected."""
    await asyncio.Event().wait()


def test_further_rejections_of_an_address_are_delayed() -> None:
    async def scenario(clock: LoopClock) -> None:
        limiter = RejectionLimiter(clock, 2)
        for _ in range(2):
            await limiter.add(A, never)
        assert clock.monotonic() == 0
        third = asyncio.ensure_future(limiter.add(A, never))
        await asyncio.sleep(0)
        await limiter.add(B, never)
        assert clock.monotonic() == 0, "another address is delayed"
        await third
        assert clock.monotonic() >= DELAY_S
        await limiter.add(A, never)
        assert clock.monotonic() < 2 * DELAY_S, "those of an earlier second count"

    run(scenario)


def test_many_connections_get_no_more_responses_in_a_second_than_few() -> None:
    """No connection gets an immediate response because many are delayed."""

    async def scenario(clock: LoopClock) -> None:
        limiter, answered = RejectionLimiter(clock, 1), 0

        async def connection() -> None:
            nonlocal answered
            while True:
                await limiter.add(A, never)
                answered += 1

        await limiter.add(A, never)
        connections = [asyncio.ensure_future(connection()) for _ in range(CONNECTIONS)]
        await clock.sleep(20)
        before = answered
        await clock.sleep(20)
        for each in connections:
            each.cancel()
        assert answered - before <= 20 * DELAYED_PER_SECOND * 1.1

    run(scenario)


def test_the_delay_ends_when_the_client_disconnects() -> None:
    async def scenario(clock: LoopClock) -> None:
        limiter, disconnected = RejectionLimiter(clock, 1), asyncio.Event()

        async def wait() -> None:
            await disconnected.wait()

        await limiter.add(A, wait)
        delayed = asyncio.ensure_future(limiter.add(A, wait))
        await asyncio.sleep(0)
        assert not delayed.done()
        disconnected.set()
        await delayed
        assert clock.monotonic() == 0

    run(scenario)


def test_without_a_limit_nothing_is_delayed() -> None:
    async def scenario(clock: LoopClock) -> None:
        limiter = RejectionLimiter(clock, 0)
        for _ in range(1_000):
            await limiter.add(A, never)
        assert clock.monotonic() == 0

    run(scenario)


def test_rejections_of_many_addresses_are_delayed_together() -> None:
    async def scenario(clock: LoopClock) -> None:
        limiter = RejectionLimiter(clock, 20)
        for number in range(TOTAL_PER_SECOND):
            await limiter.add(f"192.0.2.{number}", never)
        assert clock.monotonic() == 0
        await limiter.add("198.51.100.1", never)
        assert clock.monotonic() >= DELAY_S

    run(scenario)
