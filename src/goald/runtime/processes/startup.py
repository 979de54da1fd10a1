"""The start of a process, operation by operation. The heartbeat shows the operation in progress."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from goald.domain.errors import LeaseHeld, RetryableError
from goald.pipeline.retry import pauses
from goald.ports.clock import Clock

LEASE_RETRY_SECONDS = 0.5
"""Between two attempts to take a lease that another process holds."""

T = TypeVar("T")


class StartupSequence:
    """Repeats each operation of a start until it succeeds."""

    def __init__(self, clock: Clock, on_failure: Callable[[], object]) -> None:
        """`on_failure` is called for each failed attempt, for a metric. A lease that another
        process holds is not a failure."""
        self._clock = clock
        self._on_failure = on_failure
        self._not_ready_reason = "starting"

    @property
    def not_ready_reason(self) -> str:
        """The operation in progress and the reason for its retries, a short phrase without
        addresses."""
        return self._not_ready_reason

    async def run(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:
        """Call until the call succeeds, and return its result. The call must be
        repeatable. Raises errors that are not retryable immediately. `operation`: a short phrase
        such as "loading enrollments"."""
        self._not_ready_reason = operation
        for pause in pauses():
            try:
                return await call()
            except LeaseHeld as error:
                self._not_ready_reason = f"{operation}: {error}"
                await self._clock.sleep(LEASE_RETRY_SECONDS)
            except RetryableError:
                self._on_failure()
                self._not_ready_reason = f"{operation}: Postgres or Redis is unavailable"
                await self._clock.sleep(pause)
        raise AssertionError("pauses never end")
