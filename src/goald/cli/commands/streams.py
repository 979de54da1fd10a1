"""`goald streams`: show the event streams, or change their number."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from goald.cli.output.exit_codes import complain
from goald.cli.output.printing import print_json, say, table
from goald.cli.target import redis_url
from goald.domain.slots import SLOTS

if TYPE_CHECKING:
    from goald.operations.stream_count import StreamsOverview

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

app = typer.Typer(
    help="Show the event streams, or change their number.", invoke_without_command=True
)


@app.callback()
def show(context: typer.Context, as_json: Json = False) -> None:
    """Show the event streams: their length, and how many entries are not acknowledged."""
    if context.invoked_subcommand is not None:
        if as_json:
            raise typer.BadParameter("Put --json after the subcommand.")
        return
    overview = asyncio.run(_overview())
    rows = [
        {"name": each.name, "length": each.length, "pending": each.pending, "lag": each.lag}
        | {"read": each.name not in overview.unread}
        for each in overview.streams
    ]
    if as_json:
        print_json({"count": overview.count, "changing_to": overview.changing_to, "streams": rows})
        return
    to = overview.changing_to
    say(f"{overview.count} event streams" + (f", being changed to {to}" if to else ""))
    say("")
    table(["stream", "length#", "pending#", "lag#", "read"], ([*row.values()] for row in rows))
    if overview.unread:
        complain(
            f"goald does not read {', '.join(overview.unread)}: there are {overview.count} event "
            "streams. Fix the producers that write there: the key goald:streams holds the number."
        )


@app.command("set")
def set_count(
    number: Annotated[
        int, typer.Argument(metavar="N", min=1, max=SLOTS, help="The new number of streams.")
    ],
    timeout: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="Give up if events remain after SECONDS."),
    ] = 60.0,
    as_json: Json = False,
) -> None:
    """Change the number of event streams, as soon as every event is acknowledged.

    Meanwhile producers that use goald's Publisher wait, and the API answers 503. Stop other
    producers before. A running `goald serve` then exits with code 1; start it again.

    The command may be interrupted and repeated: the number changes at the end, or not at all.
    """
    before = asyncio.run(_change(number, timeout, (lambda _: None) if as_json else _waiting))
    if as_json:
        print_json({"streams": number, "before": before})
    elif before == number:
        say(f"Nothing to do: there are {number} event streams.")
    else:
        say(f"Changed the number of event streams from {before} to {number}.")
        say(
            "A running goald exits within seconds. Start it again, with "
            f"GOALD_STREAMS={number} or without GOALD_STREAMS."
        )


def _waiting(unacknowledged: int) -> None:
    entries = "1 entry is" if unacknowledged == 1 else f"{unacknowledged:,} entries are"
    say(f"Waiting: {entries} not acknowledged yet. Producers wait, too.")


async def _overview() -> "StreamsOverview":
    from goald.runtime.wiring.operations import stream_count

    with redis_url() as url:
        async with stream_count(url) as service:
            return await service.overview()


async def _change(count: int, timeout_s: float, waiting: Callable[[int], None]) -> int:
    from goald.runtime.wiring.operations import stream_count

    with redis_url() as url:
        async with stream_count(url) as service:
            return await service.change(count, timeout_s, waiting)
