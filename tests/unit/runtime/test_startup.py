"""A process that cannot start says what it waits for, and starts when that is over."""

import asyncio

import pytest

from goald.adapters.memory.clock import ManualClock
from goald.domain.errors import LeaseHeld, LeaseLost, ServiceUnavailable
from goald.runtime.processes.startup import StartupSequence


async def test_what_is_waited_for_is_told_until_it_is_there() -> None:
    clock, failures = ManualClock(), 0
    told: list[str] = []

    def failed() -> None:
        nonlocal failures
        failures += 1

    starting = StartupSequence(clock, failed)
    in_the_way: list[Exception] = [
        ServiceUnavailable("connect to 10.0.0.7:5432 failed"),
        LeaseHeld("it is held by shard-0, process 71 of a"),
    ]

    async def take() -> str:
        told.append(starting.not_ready_reason)
        if in_the_way:
            raise in_the_way.pop(0)
        return "taken"

    running = asyncio.ensure_future(starting.step("its slots", take))
    async with asyncio.timeout(10):
        while not running.done():
            await asyncio.sleep(0)
            await clock.advance(10)
    assert await running == "taken"
    assert told == [
        "it takes its slots",
        "it cannot take its slots: Postgres or Redis cannot be used",
        "it is held by shard-0, process 71 of a",
    ]
    assert failures == 1, "a lease that another has is no failure"


async def test_what_no_waiting_mends_ends_the_start() -> None:
    async def take() -> None:
        raise LeaseLost("another has it")

    with pytest.raises(LeaseLost):
        await StartupSequence(ManualClock(), lambda: None).step("its slots", take)
