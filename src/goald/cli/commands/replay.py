"""`goald replay`: send the events of a file."""

import asyncio
import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from goald.cli.output.exit_codes import Code, complain
from goald.cli.output.printing import print_json, say
from goald.cli.target import redis_url

if TYPE_CHECKING:
    from goald.cli.output.progress_bar import ProgressBar
    from goald.operations.replay.event_file import BadLine
    from goald.operations.replay.replay import ReplayProgress

MAX_REPORTED = 20
"""Bad lines that are reported one by one; the rest are counted."""


def replay(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="CloudEvents, one JSON object per line; - is standard input."
        ),
    ],
    rate: Annotated[
        float | None,
        typer.Option(min=0.001, metavar="N", help="Send N events per second; default: no limit."),
    ] = None,
    progress: Annotated[
        bool | None,
        typer.Option(
            "--progress/--no-progress",
            help="Show a progress bar. Default: shown if standard error is a terminal.",
        ),
    ] = None,
    from_line: Annotated[
        int, typer.Option(min=1, metavar="LINE", help="Start with this line.")
    ] = 1,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Exit with 0 even if some lines are bad.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Send the events of a file in order.

    A line that is not valid JSON, or that lacks a tenant or a contact, is reported and skipped;
    the command then exits with 1. Sending the same events again changes nothing.
    """
    from goald.cli.output.progress_bar import ProgressBar
    from goald.operations.replay.replay import ReplayProgress

    position = ReplayProgress.before(from_line)
    began = time.monotonic()
    visible = sys.stderr.isatty() if progress is None else progress
    with redis_url() as url, _opened(file) as (lines, size), ProgressBar(size, visible) as bar:
        try:
            asyncio.run(_replay(url, lines, from_line, rate, position, bar))
        except BaseException:
            bar.stop()
            complain(
                f"{position.sent:,} events were sent. Continue with --from-line "
                f"{position.line + 1}."
            )
            raise
    seconds = time.monotonic() - began
    if as_json:
        result = {"sent": position.sent, "bad": position.bad, "seconds": round(seconds, 3)}
        print_json(result, lines=True)
    else:
        bad = f"; skipped {_counted(position.bad, 'bad line')}" if position.bad else ""
        say(f"Sent {_counted(position.sent, 'event')} in {seconds:.1f} s{bad}.")
    if position.bad and not skip_bad:
        raise typer.Exit(Code.FAILED)


async def _replay(
    url: str,
    file: IO[bytes],
    from_line: int,
    rate: float | None,
    position: "ReplayProgress",
    bar: "ProgressBar",
) -> None:
    from goald.operations.replay.batches import Batches
    from goald.operations.replay.event_file import read
    from goald.runtime.wiring import operations

    def report(line: "BadLine") -> None:
        if position.bad <= MAX_REPORTED:
            bar.note(f"goald: line {line.number}: {line.reason}")

    async with operations.replay(
        url, position, rate=rate, on_bad_line=report, on_progress=bar.move
    ) as service:
        await service.run(Batches(read(file, from_line)))


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


@contextlib.contextmanager
def _opened(name: str) -> Iterator[tuple[IO[bytes], int | None]]:
    """Yields the opened file and its size in bytes; the size of a pipe is None. Raises
    InvalidFile."""
    from goald.domain.errors import InvalidFile

    if name == "-":
        yield sys.stdin.buffer, None
        return
    try:
        file = open(name, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise InvalidFile(f"Cannot read {name}: {error.strerror}.") from error
    with file:
        yield file, Path(name).stat().st_size if Path(name).is_file() else None


def add_to(app: typer.Typer) -> None:
    """Register the command of this file."""
    app.command()(replay)
