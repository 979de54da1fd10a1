"""The spare API process, which replaces the serving process. It is used only if it is known to be
alive, so that a recovery does not take longer than without it."""

from typing import Final

from goald.runtime.daemon.api.child import ApiChild
from goald.runtime.daemon.children.liveness import HANG_SECONDS, Liveness

PREPARE_SECONDS: Final = 30.0
"""How long the process may take to prepare, which needs two seconds of processor time."""
FRESH_SECONDS: Final = 3.0
"""The age of the latest sign of life up to which the process is used. It sends one each second."""


class SpareApi:
    """Observes a process that prepares to serve and then waits. Each `now` is the time of the
    event loop in seconds."""

    def __init__(self, child: ApiChild, now: float) -> None:
        self._child = child
        self._liveness = Liveness(child, now, silence=HANG_SECONDS, preparation=PREPARE_SECONDS)

    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._child.poll() is not None

    def hangs(self, now: float) -> bool:
        """Whether the process takes too long to prepare, or shows no sign of life."""
        return self._liveness.hung_for(now) is not None

    def take(self, now: float) -> ApiChild | None:
        """Return the process to serve with; None, having ended it, if it is not known to be alive.
        It may still prepare: that takes less time than a process that has yet to start."""
        if not self.has_ended() and self._liveness.silent_for(now) < FRESH_SECONDS:
            return self._child
        self.end()
        return None

    def end(self) -> None:
        """End the process immediately, and wait for its end."""
        self._child.kill()
        self._child.wait()
