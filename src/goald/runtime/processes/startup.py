"""The start of a process, step by step: what it waits for meanwhile is told."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from goald.domain.errors import LeaseHeld, RetryableError
from goald.pipeline.retry import pauses
from goald.ports.clock import Clock

HELD_SECONDS = 0.5
"""Between two looks whether another has given up what it holds."""

T = TypeVar("T")


class StartupSequence:
    """The steps that come before the work, each repeated until it succeeds."""

    def __init__(self, clock: Clock, on_failure: Callable[[], object]) -> None:
        """`on_failure` is told of each failed try, for a metric."""
        self._clock = clock
        self._on_failure = on_failure
        self._not_ready_reason = "it has just begun"

    @property
    def not_ready_reason(self) -> str:
        """What is being waited for, a short phrase without addresses."""
        return self._not_ready_reason

    async def step(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        """The call's result, once it succeeds. It must be one that may be done twice. Errors
        that no repetition mends are raised at once. `what` it takes or reads, in few words."""
        self._not_ready_reason = f"it takes {what}"
        for pause in pauses():
            try:
                return await call()
            except LeaseHeld as error:
                self._not_ready_reason = str(error)
                await self._clock.sleep(HELD_SECONDS)
            except RetryableError:
                self._on_failure()
                self._not_ready_reason = f"it cannot take {what}: Postgres or Redis cannot be used"
                await self._clock.sleep(pause)
        raise AssertionError("pauses never end")
