"""The spare API process, which replaces the serving process. It is used only if it is known to be
alive, so that a recovery does not take longer than without it."""

from typing import Final

from goald.runtime.daemon.api_child import ApiChild

PREPARE_SECONDS: Final = 30.0
"""How long the process may take to prepare, which needs two seconds of processor time."""
HANG_SECONDS: Final = 10.0
"""Once prepared, a process without a sign of life for this long is replaced (D12)."""
FRESH_SECONDS: Final = 3.0
"""The age of the latest sign of life up to which the process is used. It sends one each second."""


class SpareApi:
    """Observes a process that prepares to serve and then waits. Each `now` is the time of the
    event loop in seconds."""

    def __init__(self, child: ApiChild, now: float) -> None:
        self._child = child
        self._heard_at = now
        self._is_prepared = False

    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._child.poll() is not None

    def hangs(self, now: float) -> bool:
        """Whether the process takes too long to prepare, or shows no sign of life since."""
        self._read(now)
        return now - self._heard_at >= (HANG_SECONDS if self._is_prepared else PREPARE_SECONDS)

    def take(self, now: float) -> ApiChild | None:
        """Return the process to serve with; None, having ended it, if it is not prepared or not
        known to be alive."""
        self._read(now)
        if not self.has_ended() and self._is_prepared and now - self._heard_at < FRESH_SECONDS:
            return self._child
        self.end()
        return None

    def end(self) -> None:
        """End the process immediately, and wait for its end."""
        self._child.kill()
        self._child.wait()

    def _read(self, now: float) -> None:
        if self._child.received():
            # A process that prepares sends nothing.
            self._heard_at, self._is_prepared = now, True
