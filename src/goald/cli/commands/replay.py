"""`goald replay`: many events from a file."""

import asyncio
import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from goald.cli.input import event_file as event_lines
from goald.cli.input.batches import Batches
from goald.cli.output.exit_codes import Code, complain
from goald.cli.output.printing import print_json, say

if TYPE_CHECKING:
    from goald.cli.output.replay_progress import ReplayProgress
    from goald.client import Publisher

REPORTED = 20
"""So many bad lines are told of one by one; the rest are counted."""
CHUNK = 500
FLUSH_EVERY = 20_000
PATIENCE_S = 30.0


@dataclass
class Tally:
    """How far a replay has come."""

    sent: int = 0
    """Events that Redis has, or that are on their way."""
    bad: int = 0
    line: int = 0
    """The last line taken."""
    safe: tuple[int, int] = (0, 0)
    """`sent` and `line` when Redis last had all of it."""


def replay(
    file: Annotated[str, typer.Argument(help="CloudEvents, one JSON a line; - is standard input.")],
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Events a second; as fast as it goes if unset.")
    ] = None,
    progress: Annotated[
        bool | None, typer.Option("--progress/--no-progress", help="On a terminal, if unset.")
    ] = None,
    from_line: Annotated[int, typer.Option(min=1, help="Begin at this line.")] = 1,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="End with 0 although some lines were bad.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Send the events of a file, in order.

    A line without a tenant and contact belongs to no stream: it is told of,
    the others are sent, and the command ends with 1. Sending twice changes
    nothing.
    """
    from goald.cli.output.replay_progress import ReplayProgress
    from goald.runtime.instance import find
    from goald.settings import load_settings

    url = find(load_settings()).redis_url
    tally = Tally(line=from_line - 1, safe=(0, from_line - 1))
    began = time.monotonic()
    shown = sys.stderr.isatty() if progress is None else progress
    with _opened(file) as (lines_of, size), ReplayProgress(size, shown=shown) as bar:
        try:
            asyncio.run(_replay(url, lines_of, from_line, rate, tally, bar))
        except BaseException:
            bar.stop()
            complain(f"{tally.sent:,} events were sent; go on with --from-line {tally.line + 1}")
            raise
    seconds = time.monotonic() - began
    if as_json:
        print_json({"sent": tally.sent, "bad": tally.bad, "seconds": round(seconds, 3)}, lines=True)
    else:
        bad = f"; left out {_counted(tally.bad, 'bad line')}" if tally.bad else ""
        say(f"Sent {_counted(tally.sent, 'event')} in {seconds:.1f} s{bad}.")
    if tally.bad and not skip_bad:
        raise typer.Exit(Code.FAILED)


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


async def _replay(
    url: str,
    file: IO[bytes],
    from_line: int,
    rate: float | None,
    tally: Tally,
    bar: "ReplayProgress",
) -> None:
    """Send all. On any error `tally` tells what Redis has, and where to go on."""
    from goald.client import Publisher

    try:
        await _check(url)
        async with Publisher(url, patience_s=PATIENCE_S) as publisher:
            await _send_all(publisher, file, from_line, rate, tally, bar)
    except asyncio.CancelledError:  # Ctrl-C: the publisher has sent what it was given
        raise
    except BaseException:
        tally.sent, tally.line = tally.safe  # what came after may have arrived, and may come again
        raise


async def _check(url: str) -> None:
    """Raise ServiceUnavailable at once where there is no Redis, not after much patience."""
    from goald.adapters.redis.admin import stream_count
    from goald.adapters.redis.connect import connect

    client = connect(url)
    try:
        await stream_count(client)
    finally:
        await client.aclose()


async def _send_all(
    publisher: "Publisher",
    file: IO[bytes],
    from_line: int,
    rate: float | None,
    tally: Tally,
    bar: "ReplayProgress",
) -> None:
    began = time.monotonic()
    since_flush = 0
    chunk = CHUNK if rate is None else max(1, min(CHUNK, int(rate / 20)))
    async for batch in Batches(event_lines.read(file, from_line)):
        for start in range(0, len(batch), chunk):
            part = batch[start : start + chunk]
            for line in part:
                await _send(publisher, line, tally, bar)
            since_flush += len(part)
            bar.moved(part[-1].end, tally.sent)
            if rate is not None:
                await _flush(publisher, tally)
                await asyncio.sleep(began + tally.sent / rate - time.monotonic())
            elif since_flush >= FLUSH_EVERY:
                await _flush(publisher, tally)
                since_flush = 0
    await _flush(publisher, tally)


async def _flush(publisher: "Publisher", tally: Tally) -> None:
    await publisher.flush()
    tally.safe = tally.sent, tally.line


async def _send(
    publisher: "Publisher", line: event_lines.Line, tally: Tally, bar: "ReplayProgress"
) -> None:
    if isinstance(line, event_lines.EventLine):
        await publisher.publish_encoded(line.tenant, line.contact, line.payload)
        tally.sent += 1
    else:
        tally.bad += 1
        if tally.bad <= REPORTED:
            bar.note(f"goald: line {line.number}: {line.reason}")
    tally.line = line.number


@contextlib.contextmanager
def _opened(name: str) -> Iterator[tuple[IO[bytes], int | None]]:
    """The file and its size, where that is known. InvalidFile where it cannot be opened."""
    from goald.domain.errors import InvalidFile

    if name == "-":
        yield sys.stdin.buffer, None
        return
    try:
        file = open(name, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise InvalidFile(f"{name} cannot be read: {error.strerror}") from error
    with file:
        yield file, Path(name).stat().st_size if Path(name).is_file() else None


def add_to(app: typer.Typer) -> None:
    """Register the command of this file."""
    app.command()(replay)
