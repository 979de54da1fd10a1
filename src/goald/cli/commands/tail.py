"""`goald tail`: print exits, notices or dead letters as they arrive."""

import asyncio
from contextlib import aclosing
from enum import StrEnum
from typing import Annotated

import typer

from goald.cli.output.printing import print_json, say
from goald.cli.target import redis_url


class Stream(StrEnum):
    """The streams that can be followed."""

    EXITS = "exits"
    NOTICES = "notices"
    DEAD = "dead"


def tail(
    stream: Annotated[
        Stream,
        typer.Argument(
            metavar="STREAM", help="exits, notices or dead (dead letters).", show_default=False
        ),
    ],
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Start with the oldest stored entry.")
    ] = False,
    count: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Exit after N entries.")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(metavar="TENANT", help="Only entries of this tenant.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per line.")
    ] = False,
) -> None:
    """Print the entries of a stream as they arrive, until --count entries or Ctrl-C.

    Consumer groups are not affected: their members still receive every entry.
    """
    asyncio.run(_tail(stream, from_start, count, tenant, as_json))


async def _tail(
    stream: Stream, from_start: bool, count: int | None, tenant: str | None, as_json: bool
) -> None:
    from goald.cli.output.event_lines import entry_as_json, entry_as_line
    from goald.operations.events import tenant_of
    from goald.runtime.wiring.operations import follow

    printed = 0
    with redis_url() as url:
        async with aclosing(follow(url, stream, from_start=from_start)) as entries:
            async for entry in entries:
                if tenant is not None and tenant_of(entry.payload) != tenant:
                    continue
                if as_json:
                    print_json(entry_as_json(entry), lines=True)
                else:
                    say(entry_as_line(entry))
                printed += 1
                if printed == count:
                    return


def add_to(app: typer.Typer) -> None:
    """Register the command of this file."""
    app.command()(tail)
