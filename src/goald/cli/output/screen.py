"""A terminal with one line at the bottom that is drawn again and again, and everything else
above it."""

import os
import shutil
import threading
from typing import TextIO, cast

_ERASE = "\r\x1b[K"
_BETWEEN = " | "


class Screen:
    """Prints lines and keeps a live line below them.

    Log lines go through `around`, else they would be written into the live line. Without a
    capable terminal there is no live line. Safe for use by several threads.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._live = ""
        self._lock = threading.RLock()
        self.has_live = out.isatty() and os.environ.get("TERM", "dumb") != "dumb"

    def line(self, text: str = "") -> None:
        """Print a line above the live one."""
        self.write(self._out, text + "\n")

    def live(self, text: str) -> None:
        """Replace the live line; an empty text removes it. Parts between ` | ` that do not fit
        the terminal are left out whole: half a number would be another number."""
        if self.has_live:
            with self._lock:
                columns = shutil.get_terminal_size().columns
                self._live = _cut(text, max(columns - 1, 1))
                self._out.write(_ERASE + self._live)
                self._out.flush()

    def around(self, stream: TextIO) -> TextIO:
        """Return `stream` for a logger. Its lines are printed above the live line if both are
        on a terminal."""
        return cast(TextIO, _Above(self, stream))

    def write(self, stream: TextIO, text: str) -> None:
        """Write to `stream` with the live line out of the way."""
        with self._lock:
            if self._live:
                self._out.write(_ERASE)
                self._out.flush()
            stream.write(text)
            stream.flush()
            if self._live:
                self._out.write(self._live)
                self._out.flush()


def _cut(text: str, columns: int) -> str:
    if len(text) <= columns:
        return text
    whole, _, _ = text[: columns + len(_BETWEEN)].rpartition(_BETWEEN)
    return whole or text[:columns]


class _Above:
    """As much of a text stream as a logger uses."""

    def __init__(self, screen: Screen, stream: TextIO) -> None:
        self._screen = screen
        self._stream = stream

    def write(self, text: str) -> int:
        if self.isatty():
            self._screen.write(self._stream, text)
        else:
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()
