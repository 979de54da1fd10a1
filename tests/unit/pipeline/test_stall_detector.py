"""A process reports an operation that does not succeed (D6)."""

import pytest

from goald.adapters.memory.clock import ManualClock
from goald.domain.errors import LeaseLost, ServiceUnavailable
from goald.pipeline.stall_detector import STALL_SECONDS, StallDetector


async def test_operation_that_keeps_failing_is_reported_until_it_succeeds() -> None:
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


async def test_operation_that_hangs_is_reported() -> None:
    clock = ManualClock()
    stall_detector = StallDetector(clock)
    with stall_detector.attempt("Redis: publish"):
        await clock.advance(STALL_SECONDS)
        assert stall_detector.not_ready_reason is not None
    assert stall_detector.not_ready_reason is None


async def test_operation_that_is_not_retried_is_not_reported() -> None:
    clock = ManualClock()
    stall_detector = StallDetector(clock)
    with pytest.raises(LeaseLost), stall_detector.attempt("Postgres: commit"):
        raise LeaseLost("held by another process")
    await clock.advance(2 * STALL_SECONDS)
    assert stall_detector.not_ready_reason is None
