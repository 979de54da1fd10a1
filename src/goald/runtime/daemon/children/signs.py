"""The signs of life that a child process writes to the driver. Imports nothing of goald, so that a
process shows them from its first moment on."""

import contextlib
import os
import sys
import threading
from typing import Final

STARTING: Final = b",\n"
"""Sent every second while the process loads the application, which needs two seconds of processor
time."""
PREPARED: Final = b"prepared\n"
"""Sent once, when the process has loaded its program. A spare process waits then."""
READY: Final = b"ready\n"
"""Sent once, when the process does its work: the API accepts requests, a worker receives jobs."""
ALIVE: Final = b".\n"
"""Sent every second by the event loop, once it is prepared."""
SIGN_SECONDS: Final = 1.0


def send(sign: bytes) -> None:
    """Write a sign to standard output, where the driver reads it."""
    os.write(sys.stdout.fileno(), sign)


class StartingSigns:
    """Sends STARTING from a thread, because a process that imports has no event loop yet."""

    def __init__(self) -> None:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._send, name="signs of life", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Send no more of them, and PREPARED: the event loop shows that it is alive from now on."""
        self._end.set()
        self._thread.join()
        send(PREPARED)

    def _send(self) -> None:
        with contextlib.suppress(OSError):  # the driver has ended
            send(STARTING)
            while not self._end.wait(SIGN_SECONDS):
                send(STARTING)
