"""What commands print: tables for a person, JSON for a program, and no secrets in either
where a person may show them around."""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table
from rich.text import Text

_PASSWORD_IN_URL = re.compile(r"(?<=://)([^/@\s]*?):[^@\s]*@")
_PASSWORD_IN_WORDS = re.compile(r"(password=)('[^']*'|[^\s&]+)", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""What would command a terminal, or cannot be written; a tab and the end of a line may be."""


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        """Leave it to the one place that knows what a closed pipe means."""
        raise BrokenPipeError


def console() -> Console:
    """Standard output. Colour and lines only on a terminal (and not where NO_COLOR is set);
    elsewhere nothing is cut to a width."""
    terminal = sys.stdout.isatty()
    return _Console(highlight=False, width=None if terminal else 10_000, soft_wrap=not terminal)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """Print a table; columns whose name ends in `#` hold numbers."""
    shown = Table(box=None, pad_edge=False, title=title or None, title_justify="left")
    for name in columns:
        number = name.endswith("#")
        shown.add_column(
            name.removesuffix("#"), justify="right" if number else "left", overflow="fold"
        )
    for row in rows:
        shown.add_row(*(Text(_cell(value)) for value in row))
    console().print(shown)


def say(text: str) -> None:
    """One line for a person, as it is: brackets in it are no markup."""
    console().print(Text(printable(text)))


def printable(text: str) -> str:
    """A text with what would command a terminal written out, such as `\\x1b`: strangers
    choose what events hold, and what was refused holds anything (D8)."""
    return _UNPRINTABLE.sub(_written_out, text)


def print_json(value: Any, *, lines: bool = False) -> None:
    """JSON on standard output: one line where `lines`, else indented. Flushed at once, so
    that a program at the other end of a pipe sees it when it happens."""
    text = json.dumps(value, ensure_ascii=False, indent=None if lines else 2)
    # What is left of them stands within strings: JSON itself escapes those below 0x20.
    text = _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def masked(address: str | None) -> str:
    """A URL or DSN without its password."""
    if address is None:
        return ""
    return _PASSWORD_IN_WORDS.sub(r"\1***", _PASSWORD_IN_URL.sub(r"\1:***@", address))


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case _:
            return printable(str(value))


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
