"""The line of a step that takes a while, such as "starting Ray", with its elapsed seconds."""

import threading
from collections.abc import Callable

from goald.cli.output.screen import Screen

REDRAW_S = 1.0


class StepLine:
    """Shows the step in progress. On a terminal the line is drawn again every second with the
    seconds since its begin, by a thread, because steps block the main thread. Elsewhere it is
    printed once, when the step begins."""

    def __init__(self, screen: Screen, clock: Callable[[], float]) -> None:
        """`clock` returns seconds."""
        self._screen = screen
        self._clock = clock
        self._text: str | None = None
        self._began = 0.0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, text: str) -> None:
        """A step begins; the previous one, if any, has ended."""
        self.end()
        if not self._screen.has_live:
            self._screen.line(f"  {text} ...")
            return
        self._text, self._began, self._ended = text, self._clock(), threading.Event()
        self._screen.live(self._line())
        self._thread = threading.Thread(target=self._draw, args=(self._ended,), daemon=True)
        self._thread.start()

    def end(self) -> None:
        """The step has ended: its line stays, with the seconds that it took if it took one or
        more. Does nothing without a step."""
        if self._text is None or self._thread is None:
            return
        self._ended.set()
        self._thread.join()
        self._screen.live("")
        self._screen.line(self._line())
        self._text = self._thread = None

    def _draw(self, ended: threading.Event) -> None:
        while not ended.wait(REDRAW_S):
            self._screen.live(self._line())

    def _line(self) -> str:
        seconds = int(self._clock() - self._began)
        return f"  {self._text} ..." + (f" {seconds} s" if seconds else "")
