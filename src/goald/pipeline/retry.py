"""Trying again what a missing server refused, for as long as it is missing (D6)."""

from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from goald.domain.errors import ServiceUnavailable
from goald.ports.clock import Clock

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0

T = TypeVar("T")


def pauses() -> Iterator[float]:
    """Seconds to wait before each next try: doubling up to a bound, for ever."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


async def retrying(
    step: Callable[[], Awaitable[T]], clock: Clock, on_failure: Callable[[], object]
) -> T:
    """The step's result, once the service is there. Other errors are raised at once.

    The step must be one that may be done twice.
    """
    for pause in pauses():
        try:
            return await step()
        except ServiceUnavailable:
            on_failure()
            await clock.sleep(pause)
    raise AssertionError("pauses never end")
