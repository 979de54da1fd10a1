"""`goald tail`: exits, notices and dead letters as they come."""

import asyncio
from enum import StrEnum
from typing import Annotated

import typer

from goald.cli.output.printing import print_json, say


class Kind(StrEnum):
    """What can be followed."""

    EXITS = "exits"
    NOTICES = "notices"
    DEAD = "dead"


def tail(
    kind: Annotated[Kind, typer.Argument(help="Which stream.", show_default=False)],
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Begin with the oldest that is kept.")
    ] = False,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Of this tenant alone.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one line each.")] = False,
) -> None:
    """Follow a stream until Ctrl-C. Takes nothing away from those who read it for good."""
    asyncio.run(_tail(kind, from_start, count, tenant, as_json))


async def _tail(
    kind: Kind, from_start: bool, count: int | None, tenant: str | None, as_json: bool
) -> None:
    from goald.cli.follow import StreamEntry
    from goald.cli.output import event_lines as shown_events
    from goald.client import tail as entries_of
    from goald.redis_keys import DEAD, EXITS, NOTICES
    from goald.runtime.instance import find
    from goald.settings import load_settings

    key = {Kind.EXITS: EXITS, Kind.NOTICES: NOTICES, Kind.DEAD: DEAD}[kind]
    url = find(load_settings()).redis_url
    shown = 0
    async for found in entries_of(url, key, from_start=from_start):
        entry = StreamEntry(key, found.id, found.fields)
        if tenant is not None and entry.tenant() != tenant:
            continue
        if as_json:
            print_json(shown_events.as_json(entry), lines=True)
        else:
            say(shown_events.as_line(entry))
        shown += 1
        if shown == count:
            return


def add_to(app: typer.Typer) -> None:
    """Register the command of this file."""
    app.command()(tail)
