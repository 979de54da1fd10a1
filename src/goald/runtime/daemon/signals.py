"""How `goald serve` reacts to SIGTERM and SIGINT before, during and after its event loop (D7)."""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

from goald.runtime.actors.ray_cluster import RayCluster

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StartInterrupt:
    """Ends the start on a stop signal, by SystemExit(0) in the main thread."""

    def __init__(self) -> None:
        self.requested = False
        """Whether a stop signal was received."""

    def install(self) -> None:
        """Handle the stop signals until another handler replaces this one."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._interrupt)

    def _interrupt(self, number: int, _frame: FrameType | None) -> None:
        self.requested = True
        signal.signal(number, signal.SIG_DFL)
        signal.alarm(0)  # if Ray's handler ran first, its alarm aborts the process after 3 s
        raise SystemExit(0)


@contextlib.contextmanager
def end_immediately_afterwards(cluster: RayCluster) -> Iterator[None]:
    """After the `with` block, a stop signal ends the process and all its children immediately."""
    try:
        yield
    finally:
        for number in STOP_SIGNALS:
            signal.signal(number, lambda received, _: end_immediately(cluster, received))


def end_immediately(cluster: RayCluster, number: int) -> None:
    """End this process and all its children without finishing anything. The kernel ends the
    embedded servers, which recover as after any kill."""
    cluster.kill()
    os._exit(128 + number)
