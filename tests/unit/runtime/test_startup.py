"""A starting process reports what it waits for, and continues once that is available."""

import asyncio

import pytest

from goald.adapters.memory.clock import ManualClock
from goald.domain.errors import LeaseHeld, LeaseLost, ServiceUnavailable
from goald.runtime.processes.startup import StartupSequence


async def test_an_operation_is_repeated_and_its_reason_reported_until_it_succeeds() -> None:
    clock, failures = ManualClock(), 0
    reasons: list[str] = []

    def count_failure() -> None:
        nonlocal failures
        failures += 1

    startup = StartupSequence(clock, count_failure)
    errors: list[Exception] = [
        ServiceUnavailable("connect to 10.0.0.7:5432 failed"),
        LeaseHeld("held by shard-0 of a:71"),
    ]

    async def take() -> str:
        reasons.append(startup.not_ready_reason)
        if errors:
            raise errors.pop(0)
        return "taken"

    running = asyncio.ensure_future(startup.run("taking the slots", take))
    async with asyncio.timeout(10):
        while not running.done():
            await asyncio.sleep(0)
            await clock.advance(10)
    assert await running == "taken"
    assert reasons == [
        "taking the slots",
        "taking the slots: Postgres or Redis is unavailable",
        "taking the slots: held by shard-0 of a:71",
    ]
    assert failures == 1, "a lease that another process holds is not a failure"


async def test_an_error_that_is_not_retryable_ends_the_start() -> None:
    async def take() -> None:
        raise LeaseLost("another process has it")

    with pytest.raises(LeaseLost):
        await StartupSequence(ManualClock(), lambda: None).run("taking the slots", take)
