"""A process says which step stands still, once it has for a while (D6)."""

import pytest

from goald.adapters.memory.clock import ManualClock
from goald.domain.errors import LeaseLost, ServiceUnavailable
from goald.pipeline.stall_detector import STANDSTILL_SECONDS, Standstill


async def test_step_that_fails_again_and_again_is_told_of_until_it_succeeds() -> None:
    clock = ManualClock()
    standstill = Standstill(clock)
    for _ in range(3):
        with pytest.raises(ServiceUnavailable), standstill.step("Postgres: commit"):
            raise ServiceUnavailable("gone")
        assert standstill.trouble is None
        await clock.advance(STANDSTILL_SECONDS / 3 - 0.1)
    await clock.advance(0.3)
    assert standstill.trouble == "Postgres: commit has not succeeded for 3 s"
    with standstill.step("Postgres: commit"):
        pass
    assert standstill.trouble is None


async def test_step_that_hangs_is_told_of_too() -> None:
    clock = ManualClock()
    standstill = Standstill(clock)
    with standstill.step("Redis: publish"):
        await clock.advance(STANDSTILL_SECONDS)
        assert standstill.trouble is not None
    assert standstill.trouble is None


async def test_step_that_is_not_tried_again_is_no_standstill() -> None:
    clock = ManualClock()
    standstill = Standstill(clock)
    with pytest.raises(LeaseLost), standstill.step("Postgres: commit"):
        raise LeaseLost("another's")
    await clock.advance(2 * STANDSTILL_SECONDS)
    assert standstill.trouble is None
