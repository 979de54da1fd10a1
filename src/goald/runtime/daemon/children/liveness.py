"""Whether a child process is alive, from its signs of life."""

from typing import Final

from goald.runtime.daemon.children.child import ChildProcess
from goald.runtime.daemon.children.signs import READY, STARTING

HANG_SECONDS: Final = 10.0
"""A process without a sign of life for this long hangs (D12)."""
_LATEST_BYTES: Final = 64


class Liveness:
    """Observes a process. Each `now` is the time of the event loop in seconds."""

    def __init__(
        self, child: ChildProcess, now: float, *, silence: float, preparation: float
    ) -> None:
        """`silence`: for how many seconds it may show no sign of life while it prepares, and
        HANG_SECONDS afterwards. `preparation`: how many seconds it may take to prepare: signs of
        life from its thread do not show that it makes progress."""
        self._child = child
        self._heard_at = self._started_at = now
        self._silence = silence
        self._preparation = preparation
        self._is_prepared = False
        self._latest = b""
        self.is_ready = False
        """Whether it has begun its work."""

    def silent_for(self, now: float) -> float:
        """Seconds since its latest sign of life."""
        self._read(now)
        return now - self._heard_at

    def hung_for(self, now: float) -> float | None:
        """The seconds without a sign of life or without the end of its preparation, if it hangs;
        None if it does not."""
        if (silent := self.silent_for(now)) >= self._silence:
            return silent
        if not self._is_prepared and now - self._started_at >= self._preparation:
            return now - self._started_at
        return None

    def _read(self, now: float) -> None:
        received = self._child.received()
        if not received:
            return
        self._heard_at = now
        self._latest = (self._latest + received)[-_LATEST_BYTES:]
        self.is_ready = self.is_ready or READY in self._latest
        if not self._is_prepared and received.replace(STARTING, b""):
            self._is_prepared, self._silence = True, HANG_SECONDS
