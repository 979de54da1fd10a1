"""`goald send`: one event by hand."""

import asyncio
import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goald.cli.input import fields
from goald.cli.output.exit_codes import Code, complain
from goald.cli.output.printing import print_json, say
from goald.domain.configuration.goals import LISTENS_TO

if TYPE_CHECKING:
    from goald.cli.follow import StreamEntry

POLL_MS = 50
READ = (
    *LISTENS_TO.values(),
    "workflow.enrollment.started",
    "workflow.enrollment.ended",
    "workflow.exit.acknowledged",
    "contact.deleted",
)
"""The types of events that have an effect; others are counted and passed over."""


def send(
    event_type: Annotated[
        str, typer.Argument(metavar="TYPE", help="Such as form.submitted.", show_default=False)
    ],
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[key=value ...]", help="Its data; key:=value takes JSON."),
    ] = None,
    tenant: Annotated[str, typer.Option(help="The tenant.", show_default=False)] = ...,  # type: ignore[assignment]
    contact: Annotated[str, typer.Option(help="The contact.", show_default=False)] = ...,  # type: ignore[assignment]
    event_id: Annotated[str | None, typer.Option("--id", help="A new UUID, if unset.")] = None,
    moment: Annotated[
        str | None, typer.Option("--time", help="RFC 3339 with offset; now, if unset.")
    ] = None,
    source: Annotated[str, typer.Option(help="Who sends it.")] = "goald/cli",
    wait: Annotated[
        float | None,
        typer.Option(min=0, help="Wait so many seconds for what it causes, and print that."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one line each.")] = False,
) -> None:
    """Send one event; print its id and its stream.

    With --wait, ends with 1 where the event was refused, or did not take effect in time.
    """
    from goald.client import event
    from goald.runtime.instance import find
    from goald.settings import load_settings

    try:
        made = event(
            event_type,
            tenant,
            contact,
            fields.parse(words or []),
            id=event_id,
            time=_moment(moment),
            source=source,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    url = find(load_settings()).redis_url
    if not asyncio.run(_send(url, made, wait, as_json)):
        raise typer.Exit(Code.FAILED)


async def _send(url: str, event: dict[str, Any], wait: float | None, as_json: bool) -> bool:
    """Whether all went well."""
    from goald.adapters.redis.admin import stream_count
    from goald.adapters.redis.connect import connect
    from goald.cli.effect import Effect
    from goald.client import Publisher
    from goald.domain.streams import partition_of
    from goald.redis_keys import event_stream

    client = connect(url)
    try:

        async def stream() -> str:
            count = await stream_count(client)
            contact = event["data"]["contact_id"]
            return event_stream(partition_of(event["tenantid"], contact, count))

        effect = await Effect.watch(client, event, await stream())
        async with Publisher(url) as publisher:
            await publisher.publish(event)
        if (sent_to := await stream()) != effect.stream:
            effect.moved(sent_to)
        entry_id = await effect.entry_id()
        if as_json:
            sent = {"id": event["id"], "stream": effect.stream, "entry": entry_id}
            print_json(sent, lines=True)
        else:
            say(f"Sent {event['id']} to {effect.stream}, entry {entry_id}.")
        _warn_of_unread(event["type"])
        what = "taken effect" if event["type"] in READ else "been passed over"
        return wait is None or await _wait(effect, wait, what, as_json)
    finally:
        await client.aclose()


async def _wait(effect: Any, seconds: float, what: str, as_json: bool) -> bool:
    deadline = time.monotonic() + seconds
    caused = 0
    while True:
        # In this order: what an event causes is published before it is acknowledged.
        done = await effect.acknowledged()
        for entry in await effect.caused():
            caused += 1
            _show(entry, as_json)
            if entry.stream == "goald:dead":
                return False
        if done:
            if not caused and not as_json:
                say(f"It has {what}, and met no goal.")
            return True
        if time.monotonic() >= deadline:
            complain(f"it did not take effect within {seconds:g} s; see `goald status`")
            return False
        await asyncio.sleep(POLL_MS / 1_000)


def _warn_of_unread(event_type: str) -> None:
    """Say on standard error where goald passes events of this type over: likely a misspelling."""
    import difflib

    if event_type in READ:
        return
    near = difflib.get_close_matches(event_type, READ, n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    complain(f"events of type {event_type} have no effect{meant}")


def _show(entry: "StreamEntry", as_json: bool) -> None:
    from goald.cli.output import event_lines as shown_events

    if as_json:
        print_json(shown_events.as_json(entry), lines=True)
    else:
        say(shown_events.as_line(entry))


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"--time: {text!r} is not RFC 3339") from None
    if found.tzinfo is None:
        raise typer.BadParameter(f"--time: {text!r} has no offset, such as Z or +02:00")
    return found


def add_to(app: typer.Typer) -> None:
    """Register the command of this file."""
    app.command()(send)
