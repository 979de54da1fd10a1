"""Prints tables and lines for a person and JSON for a program, without terminal control
sequences or passwords."""

import json
import re
import secrets
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table
from rich.text import Text

from goald.domain.ids import INVISIBLE

_PASSWORD_IN_URL = re.compile(r"(?<=://)([^/@\s]*?):[^@\s]*@")
_PASSWORD_IN_WORDS = re.compile(r"(password=)('[^']*'|[^\s&]+)", re.IGNORECASE)
_DECIMAL_MARK = secrets.token_hex(16)
"""Unpredictable, so that no text of a user is taken for a decimal."""
_MARKED_DECIMAL = re.compile(f'"{_DECIMAL_MARK}([^"]*)"')
_UNPRINTABLE = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff{INVISIBLE}]")
"""Control characters except tab and newline; lone surrogates, which cannot be encoded; and
invisible characters, which can make a text look like another."""


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        """`goald.cli.main` handles a closed pipe."""
        raise BrokenPipeError


def console() -> Console:
    """Standard output. Colours appear on a terminal only, unless NO_COLOR is set; elsewhere lines
    are not wrapped."""
    terminal = sys.stdout.isatty()
    return _Console(highlight=False, width=None if terminal else 10_000, soft_wrap=not terminal)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """Print a table. A column whose name ends in `#` is right-aligned; the `#` is not printed."""
    grid = Table(box=None, pad_edge=False, title=title or None, title_justify="left")
    for name in columns:
        number = name.endswith("#")
        grid.add_column(
            name.removesuffix("#"), justify="right" if number else "left", overflow="fold"
        )
    for row in rows:
        grid.add_row(*(Text(_cell(value)) for value in row))
    output = console()
    with output.capture() as captured:
        output.print(grid)
    # Rich pads the last column.
    lines = [line.rstrip() for line in captured.get().split("\n")]
    sys.stdout.write("\n".join(lines))
    sys.stdout.flush()


def say(text: str) -> None:
    """Print one line for a person, without markup."""
    console().print(Text(printable(text)))


def print_file(text: str) -> None:
    """Print the text of a file on standard output, unchanged: lines are not wrapped. Its format has
    escaped control characters."""
    sys.stdout.write(text)
    sys.stdout.flush()


def printable(text: str) -> str:
    """The text with control characters escaped, such as `\\x1b`: producers choose what events
    contain, and a terminal must not interpret them (D8)."""
    return _UNPRINTABLE.sub(_escaped, text)


def print_json(value: Any, *, lines: bool = False) -> None:
    """Print JSON on standard output, on one line if `lines`, else indented. Decimals are numbers
    with all their digits. Flushes, so that a program at the other end of a pipe receives it
    immediately."""
    indent = None if lines else 2
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=_marked_decimal)
    text = _MARKED_DECIMAL.sub(r"\1", text)
    # Only characters in strings remain: JSON itself escapes those below 0x20.
    text = _UNPRINTABLE.sub(lambda found: json.dumps(found[0])[1:-1], text)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def masked(address: str | None) -> str:
    """A URL or DSN without its password."""
    if address is None:
        return ""
    return _PASSWORD_IN_WORDS.sub(r"\1***", _PASSWORD_IN_URL.sub(r"\1:***@", address))


def plain(value: object) -> str:
    """A JSON value for a person: `{min_amount: 100.50}`. Decimals keep all their digits."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {plain(each)}" for name, each in value.items()) + "}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return "none" if value is None else str(value)


def _marked_decimal(value: object) -> str:
    """The json module cannot write a Decimal as a number, so `print_json` removes the quotes."""
    if isinstance(value, Decimal):
        return f"{_DECIMAL_MARK}{value:f}"
    raise TypeError(f"{type(value).__name__} is not a JSON type")


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


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
