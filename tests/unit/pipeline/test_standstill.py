"""A process says which step stands still, once it has for a while (D6)."""

import pytest

from goald.adapters.memory.clock import ManualClock
from goald.domain.errors import LeaseLost, ServiceUnavailable
from goald.pipeline.stall_detector import STALL_SECONDS, StallDetector


async def test_step_that_fails_again_and_again_is_told_of_until_it_succeeds() -> None:
    clock = ManualClock()
    stall_detector = StallDetector(clock)
    for _ in range(3):
        with pytest.raises(ServiceUnavailable), stall_detector.attempt("Postgres: commit"):
            raise ServiceUnavailable("gone")
        assert stall_detector.not_ready_reason is None
        await clock.advance(STALL_SECONDS / 3 - 0.1)
    await clock.advance(0.3)
    assert stall_detector.not_ready_reason == "Postgres: commit has not succeeded for 3 s"
    with stall_detector.attempt("Postgres: commit"):
        pass
    assert stall_detector.not_ready_reason is None


async def test_step_that_hangs_is_told_of_too() -> None:
    clock = ManualClock()
    stall_detector = StallDetector(clock)
    with stall_detector.attempt("Redis: publish"):
        await clock.advance(STALL_SECONDS)
        assert stall_detector.not_ready_reason is not None
    assert stall_detector.not_ready_reason is None


async def test_step_that_is_not_tried_again_is_no_standstill() -> None:
    clock = ManualClock()
    stall_detector = StallDetector(clock)
    with pytest.raises(LeaseLost), stall_detector.attempt("Postgres: commit"):
        raise LeaseLost("another's")
    await clock.advance(2 * STALL_SECONDS)
    assert stall_detector.not_ready_reason is None
