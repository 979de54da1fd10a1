"""`ports.Clock`: the system clock, and the clock that tests advance by hand."""

import asyncio

from goald.adapters.clock import SystemClock
from goald.adapters.memory.clock import ManualClock


async def test_the_system_clock_advances() -> None:
    clock = SystemClock()
    wall, elapsed = clock.now_us(), clock.monotonic()
    await clock.sleep(0.002)
    assert clock.now_us() > wall > 1_700_000_000_000_000
    assert clock.monotonic() > elapsed


async def test_a_manual_clock_wakes_sleepers_in_order_each_at_its_time() -> None:
    clock = ManualClock()
    woken: list[tuple[str, float]] = []

    async def sleep(name: str, *spans: float) -> None:
        for span in spans:
            await clock.sleep(span)
            woken.append((name, clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        group.create_task(sleep("twice", 1, 1))
        group.create_task(sleep("once", 1.5))
        group.create_task(sleep("later", 5))
        await asyncio.sleep(0)
        await clock.advance(3)
        assert woken == [("twice", 1), ("once", 1.5), ("twice", 2)]
        assert (clock.monotonic(), clock.sleepers) == (3, 1)
        await clock.advance(2)
        assert woken[-1] == ("later", 5)


async def test_a_cancelled_sleeper_is_not_woken() -> None:
    clock = ManualClock()
    sleeper = asyncio.create_task(clock.sleep(1))
    await asyncio.sleep(0)
    sleeper.cancel()
    await asyncio.wait([sleeper])
    assert clock.sleepers == 0
    await clock.advance(2)
    assert clock.monotonic() == 2
