"""Unauthenticated work of one address is limited in each second (D8)."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.support.pipeline.virtual_time import LoopClock, VirtualTimeLoop

from goald.api.problems import TooManyRequests
from goald.api.rejections import (
    DELAY_S,
    MAX_DELAYED,
    MAX_KNOWN,
    TOTAL_PER_SECOND,
    Origin,
    RejectionLimiter,
)

A, B = Origin("192.0.2.1"), Origin("192.0.2.2")
WEBHOOK = Origin(A.address, "acme", "stripe")


def run(scenario: Callable[[LoopClock], Awaitable[None]]) -> None:
    """Run a scenario on virtual time."""
    loop = VirtualTimeLoop()
    try:
        loop.run_until_complete(scenario(LoopClock(loop, 0)))
    finally:
        loop.close()


def test_further_rejections_of_an_address_are_delayed_and_its_work_is_refused() -> None:
    async def scenario(clock: LoopClock) -> None:
        limiter = RejectionLimiter(clock, 2)
        for _ in range(2):
            await limiter.add(A)
        limiter.check(A)
        assert clock.monotonic() == 0
        third = asyncio.ensure_future(limiter.add(A))
        await asyncio.sleep(0)
        with pytest.raises(TooManyRequests):
            limiter.check(A)
        limiter.check(B)
        await limiter.add(B)
        assert clock.monotonic() == 0, "another address is delayed"
        await third
        assert clock.monotonic() >= DELAY_S
        limiter.check(A)

    run(scenario)


def test_the_number_of_delayed_responses_is_bounded() -> None:
    async def scenario(clock: LoopClock) -> None:
        limiter = RejectionLimiter(clock, 1)
        await limiter.add(A)
        delayed = [asyncio.ensure_future(limiter.add(A)) for _ in range(MAX_DELAYED)]
        await asyncio.sleep(0)
        await limiter.add(A)
        assert clock.monotonic() == 0
        await asyncio.gather(*delayed)

    run(scenario)


def test_without_a_limit_nothing_is_delayed() -> None:
    async def scenario(clock: LoopClock) -> None:
        limiter = RejectionLimiter(clock, 0)
        for _ in range(1_000):
            await limiter.add(A)
        limiter.check(A)
        assert clock.monotonic() == 0

    run(scenario)


def test_a_verified_webhook_does_not_pay_for_other_clients_of_its_address() -> None:
    async def scenario(clock: LoopClock) -> None:
        limiter = RejectionLimiter(clock, 2)
        limiter.accept(WEBHOOK)
        others = [asyncio.ensure_future(limiter.add(A)) for _ in range(3)]
        await asyncio.sleep(0)
        limiter.check(WEBHOOK)
        for unknown in (Origin(A.address, "acme", "other"), Origin(A.address, "made-up", "stripe")):
            with pytest.raises(TooManyRequests):
                limiter.check(unknown)
        await limiter.add(WEBHOOK)
        assert clock.monotonic() == 0, "delayed because of other clients"
        others += [asyncio.ensure_future(limiter.add(WEBHOOK)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyRequests):  # its own rejections count
            limiter.check(WEBHOOK)
        await asyncio.gather(*others)

    run(scenario)


def test_the_number_of_remembered_webhooks_is_bounded() -> None:
    async def scenario(clock: LoopClock) -> None:
        limiter = RejectionLimiter(clock, 1)
        for number in range(MAX_KNOWN + 1):
            limiter.accept(Origin(A.address, f"t-{number}", "stripe"))
        delayed = [asyncio.ensure_future(limiter.add(A)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyRequests):
            limiter.check(Origin(A.address, "t-0", "stripe"))
        limiter.check(Origin(A.address, "t-1", "stripe"))
        await asyncio.gather(*delayed)

    run(scenario)


def test_rejections_of_many_addresses_are_delayed_together() -> None:
    async def scenario(clock: LoopClock) -> None:
        limiter = RejectionLimiter(clock, 20)
        for number in range(TOTAL_PER_SECOND):
            await limiter.add(Origin(f"192.0.2.{number}"))
        assert clock.monotonic() == 0
        await limiter.add(Origin("198.51.100.1"))
        assert clock.monotonic() >= DELAY_S

    run(scenario)
