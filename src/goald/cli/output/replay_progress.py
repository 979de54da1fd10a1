"""The bar of `goald replay`: how much of the file is sent, how fast, how long it will take."""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text


class ReplayProgress:
    """A bar on standard error where `shown`; else only the notes are printed there."""

    def __init__(self, size: int | None, *, shown: bool) -> None:
        """`size` of the file in bytes, where it is known."""
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._progress = Progress(
            TextColumn("{task.fields[sent]:,} events"),
            BarColumn(),
            TextColumn("{task.percentage:.0f}%" if size else ""),
            TextColumn("{task.fields[speed]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not shown,
        )
        self._task = self._progress.add_task("", total=size or None, sent=0, speed="")
        self._shown = shown

    def moved(self, position: int, sent: int) -> None:
        """So many bytes are read, and so many events sent."""
        elapsed = self._progress.tasks[0].elapsed
        speed = f"{sent / elapsed:,.0f}/s" if elapsed else ""
        self._progress.update(self._task, completed=position, sent=sent, speed=speed)

    def note(self, text: str) -> None:
        """A line above the bar."""
        if self._shown:
            self._console.print(Text(text))
        else:
            print(text, file=sys.stderr)

    def stop(self) -> None:
        """Take the bar off, so that other lines may follow. May be called twice."""
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
