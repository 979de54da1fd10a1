"""The clock."""

from typing import Protocol


class Clock(Protocol):
    """The time, passed in so that a run can be repeated with the same inputs."""

    def now_us(self) -> int:
        """The wall-clock time in microseconds since the Unix epoch."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back, for durations and deadlines."""

    async def sleep(self, seconds: float) -> None:
        """Return after this time, or after one iteration of the event loop if it is not
        positive."""
