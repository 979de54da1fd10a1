"""The clock.

Times are microseconds since the Unix epoch. Every coroutine may raise `ServiceUnavailable`
when its server cannot be reached or refuses to write (D6).
"""

from typing import Protocol


class Clock(Protocol):
    """The time, passed in so that a run with the same inputs is the same run."""

    def now_us(self) -> int:
        """Wall-clock time, microseconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds that never go back, for durations and deadlines."""

    async def sleep(self, seconds: float) -> None: ...
