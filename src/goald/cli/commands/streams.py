"""`goald streams`: how many event streams there are, and another number of them."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goald.cli.output.exit_codes import complain
from goald.cli.output.printing import print_json, say, table
from goald.domain.slots import SLOTS

if TYPE_CHECKING:
    from goald.adapters.redis.connect import Client

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

POLL_SECONDS = 0.1
TELL_SECONDS = 2.0

app = typer.Typer(
    help="Show how many event streams there are, or change their number.",
    invoke_without_command=True,
)


@app.callback()
def show(context: typer.Context, as_json: Json = False) -> None:
    """Show how many event streams there are, and what is in them."""
    if context.invoked_subcommand is not None:
        if as_json:
            raise typer.BadParameter("--json goes behind the command")
        return
    found = asyncio.run(_gather(_redis_url()))
    if as_json:
        print_json(found)
        return
    changing = "" if found["changing_to"] is None else f", being changed to {found['changing_to']}"
    say(f"{found['count']} event streams{changing}")
    say("")
    table(["stream", "length#", "lag#", "read"], ([*each.values()] for each in found["streams"]))
    unread = [each["name"] for each in found["streams"] if not each["read"]]
    if unread:
        complain(
            f"nobody reads {', '.join(unread)}: there are {found['count']} streams, and who "
            "writes there has to take their number from the key goald:streams"
        )


@app.command("set")
def set_count(
    number: Annotated[
        int, typer.Argument(metavar="NUMBER", min=1, max=SLOTS, help="How many from now on.")
    ],
    timeout: Annotated[
        float, typer.Option(min=0, help="Wait at most so many seconds for what was sent.")
    ] = 60.0,
    as_json: Json = False,
) -> None:
    """Change the number of event streams, once all that was sent has taken effect.

    Producers that use goald's Publisher wait meanwhile, and the API answers 503. Others have to
    be stopped before. A running goald then ends by itself, and is to be started again.

    May be interrupted and given again: the number is changed at the end, or not at all.
    """
    tell = (lambda _: None) if as_json else say
    before = asyncio.run(_set(_redis_url(), number, timeout, tell))
    if as_json:
        print_json({"streams": number, "before": before})
    elif before == number:
        say(f"There are {number} event streams already.")
    else:
        say(f"There are {number} event streams now, where there were {before}.")
        say(
            "A running goald ends by itself within seconds: start it again, with "
            f"GOALD_STREAMS={number} or without GOALD_STREAMS."
        )


async def _set(url: str, wanted: int, patience: float, tell: Callable[[str], None]) -> int:
    """Change the number; what it was before. NotDrained where not all took effect in time."""
    from goald.adapters.redis.admin import stream_count
    from goald.adapters.redis.connect import connect
    from goald.adapters.redis.events import count_change
    from goald.domain.errors import ServiceUnavailable

    client = connect(url)
    try:
        before = await stream_count(client)
        if before == wanted:
            return await stream_count(client, wanted)  # where it was the default, it is kept now
        await count_change.announce(client, wanted)
        try:
            await _drain_and_change(client, before, wanted, patience, tell)
        finally:
            with contextlib.suppress(ServiceUnavailable):  # it goes by itself
                await count_change.withdraw(client, wanted)
        return before
    finally:
        await client.aclose()


async def _drain_and_change(
    client: "Client", before: int, wanted: int, patience: float, tell: Callable[[str], None]
) -> None:
    from goald.adapters.redis.admin import lag, stream_count
    from goald.adapters.redis.events import count_change
    from goald.domain.errors import NotDrained, StreamCountMismatch
    from goald.redis_keys import event_stream

    deadline = time.monotonic() + patience
    told = 0.0
    while not await count_change.change(client, before, wanted):
        held = await stream_count(client)
        if held == wanted:  # the same command elsewhere came first
            return
        if held != before:
            raise StreamCountMismatch(f"somebody else has set {held} event streams meanwhile")
        behind = await lag(client)
        left = {name: behind.get(name, 0) for name in map(event_stream, range(before))}
        if time.monotonic() >= deadline:
            where = ", ".join(f"{name}: {entries:,}" for name, entries in left.items() if entries)
            raise NotDrained(
                f"nothing is changed: after {patience:g} s not all that was sent has taken effect "
                f"({where or 'more came'}). A goald has to run and be ready (`goald status`), and "
                "producers without goald's Publisher have to be stopped"
            )
        if time.monotonic() - told >= TELL_SECONDS:
            told = time.monotonic()
            tell(f"Producers wait; {sum(left.values()):,} entries have not taken effect yet.")
        await asyncio.sleep(POLL_SECONDS)
        await count_change.announce(client, wanted)


async def _gather(url: str) -> dict[str, Any]:
    from goald.adapters.redis.admin import lag, stream_count
    from goald.adapters.redis.connect import connect, service_errors
    from goald.redis_keys import NEXT_STREAMS, event_stream

    client = connect(url)
    try:
        count = await stream_count(client)
        behind = await lag(client)
        async with service_errors():
            coming = await client.get(NEXT_STREAMS)
            lengths = [int(await client.xlen(name)) for name in behind]
    finally:
        await client.aclose()
    read = {event_stream(partition) for partition in range(count)}
    return {
        "count": count,
        "changing_to": None if coming is None else int(coming),
        "streams": [
            {"name": name, "length": length, "lag": entries, "read": name in read}
            for (name, entries), length in zip(behind.items(), lengths, strict=True)
        ],
    }


def _redis_url() -> str:
    from goald.runtime.instance import find
    from goald.settings import load_settings

    return find(load_settings()).redis_url
