"""Detects operations that do not succeed, so that a process can report that it is not ready."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from goald.domain.errors import RetryableError
from goald.ports.clock import Clock

STALL_SECONDS = 3.0
"""An operation that has not succeeded for this long makes the process not ready."""


class ReadinessSource(Protocol):
    """A component whose failure makes the process not ready."""

    @property
    def not_ready_reason(self) -> str | None:
        """Why it is not ready, as a short phrase without addresses; None if it is."""


def first_reason(*sources: ReadinessSource) -> str | None:
    """Return the first reason that a source has, or None."""
    return next((each.not_ready_reason for each in sources if each.not_ready_reason), None)


class StallDetector:
    """Records since when each operation has been attempted without success.

    Repeated failures and a hang are reported alike (D6).
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}

    @contextmanager
    def attempt(self, operation: str) -> Iterator[None]:
        """Run the `with` block as an attempt. `operation` is `SERVER: verb`, such as
        `Postgres: commit`.

        If the block raises a RetryableError, the operation stays pending. If the block ends, or
        raises anything else, the operation is no longer pending.
        """
        self.begin(operation)
        try:
            yield
        except RetryableError:
            raise
        except BaseException:
            self._end(operation)
            raise
        self._end(operation)

    def begin(self, operation: str) -> None:
        """Mark an operation as pending from now on, unless it already is."""
        self._since.setdefault(operation, self._clock.monotonic())

    def _end(self, operation: str) -> None:
        self._since.pop(operation, None)

    @property
    def not_ready_reason(self) -> str | None:
        """The operation that has been pending longest, as a short phrase without addresses.
        None if no operation has been pending for STALL_SECONDS."""
        if not self._since:
            return None
        since, operation = min((since, operation) for operation, since in self._since.items())
        seconds = self._clock.monotonic() - since
        if seconds < STALL_SECONDS:
            return None
        return f"{operation} has not succeeded for {seconds:.0f} s"
