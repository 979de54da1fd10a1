"""When a child process that has ended is restarted."""

from typing import Final

BACKOFF_SECONDS: Final = (0.0, 0.25, 0.5, 1.0, 2.0)
STABLE_SECONDS: Final = 30.0
"""After running for this long, the next restart is immediate again."""


class Backoff:
    """The pauses between restarts: none after a run that was stable, and longer ones after each
    further end."""

    def __init__(self) -> None:
        self._attempts = 0

    def pause(self, ran_for: float) -> float:
        """The seconds until the restart of a process that ran for `ran_for` seconds."""
        self._attempts = 1 if ran_for >= STABLE_SECONDS else self._attempts + 1
        return BACKOFF_SECONDS[min(self._attempts, len(BACKOFF_SECONDS)) - 1]
