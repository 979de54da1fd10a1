"""Steps that do not come to their end, and since when: what a process says is not ready."""

from collections.abc import Iterator
from contextlib import contextmanager

from goald.domain.errors import RetryableError
from goald.ports.clock import Clock

STALL_SECONDS = 3.0
"""A step that has not succeeded for so long is told of."""


class StallDetector:
    """Since when each step has been tried without success, however often it was begun: one
    that fails and one that hangs are told alike (D6)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A try of the step. It is to be tried again where the body raises a RetryableError, and
        is over else. `name`: whose it is and what, such as `Postgres: commit`."""
        self._since.setdefault(name, self._clock.monotonic())
        try:
            yield
        except RetryableError:
            raise
        except BaseException:
            self.over(name)
            raise
        self.over(name)

    def over(self, name: str) -> None:
        """The step is not tried any more."""
        self._since.pop(name, None)

    @property
    def not_ready_reason(self) -> str | None:
        """The step that has stood still the longest, a short phrase without addresses; None
        where none has for long."""
        if not self._since:
            return None
        since, name = min((since, name) for name, since in self._since.items())
        seconds = self._clock.monotonic() - since
        if seconds < STALL_SECONDS:
            return None
        return f"{name} has not succeeded for {seconds:.0f} s"
