"""The progress bar of `goald replay`."""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text


class ProgressBar:
    """A bar on standard error: events sent, share of the file, rate and remaining time."""

    def __init__(self, size: int | None, visible: bool) -> None:
        """`size`: the size of the file in bytes; None if unknown. If not `visible`, prints
        notes only."""
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._progress = Progress(
            TextColumn("{task.fields[sent]:,} events"),
            BarColumn(),
            TextColumn("{task.percentage:.0f}%" if size else ""),
            TextColumn("{task.fields[speed]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not visible,
        )
        self._task = self._progress.add_task("", total=size or None, sent=0, speed="")
        self._visible = visible

    def move(self, position: int, sent: int) -> None:
        """Show this position in the file, in bytes, and this number of events sent."""
        elapsed = self._progress.tasks[0].elapsed
        speed = f"{sent / elapsed:,.0f}/s" if elapsed else ""
        self._progress.update(self._task, completed=position, sent=sent, speed=speed)

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        if self._visible:
            self._console.print(Text(text))
        else:
            print(text, file=sys.stderr)

    def stop(self) -> None:
        """Remove the bar. May be called twice."""
        self._progress.stop()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
