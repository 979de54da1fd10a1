"""Retries an operation until its server is available (D6)."""

from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from prometheus_client import Counter

from goald.domain.errors import ServiceUnavailable
from goald.pipeline.stall_detector import StallDetector
from goald.ports.clock import Clock

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0

T = TypeVar("T")


def pauses() -> Iterator[float]:
    """Yield the seconds to wait before each retry: doubling up to a limit, without end."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


class Retrier:
    """Calls a coroutine until its server is available, and reports a server that is not."""

    def __init__(self, clock: Clock, retries: Counter, stall_detector: StallDetector) -> None:
        """`retries` has one label, the operation."""
        self._clock = clock
        self._retries = retries
        self._stall_detector = stall_detector

    async def __call__(self, pending: str, operation: str, call: Callable[[], Awaitable[T]]) -> T:
        """Return the result of `call`, retrying while it raises ServiceUnavailable.

        `pending` names the operation in the not-ready reason, `operation` in the metric. The
        call must be idempotent. Any other error is raised without a retry.
        """
        with self._stall_detector.attempt(pending):
            for pause in pauses():
                try:
                    return await call()
                except ServiceUnavailable:
                    self._retries.labels(operation).inc()
                    await self._clock.sleep(pause)
                    # Another caller of the same operation may have succeeded meanwhile.
                    self._stall_detector.begin(pending)
        raise AssertionError("pauses never end")
