"""`goald send`: send one event."""

import asyncio
from collections import Counter
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goald.cli.input import fields
from goald.cli.output.exit_codes import Code, complain
from goald.cli.output.printing import print_json, say
from goald.cli.target import api_dsn, redis_url
from goald.redis_keys import DEAD, EXITS, NOTICES

if TYPE_CHECKING:
    from goald.client import TailedEntry
    from goald.operations.effect import EventEffect

WORKFLOWS_SECONDS = 3.0
"""How long the list of workflows may take, for a warning about an unknown workflow."""
MAX_WORKFLOWS = 10_000
"""No warning for a tenant with more workflows."""


def send(
    event_type: Annotated[
        str,
        typer.Argument(metavar="TYPE", help="For example form.submitted.", show_default=False),
    ],
    tenant: Annotated[str, typer.Option(metavar="TENANT", help="The tenant.")],
    contact: Annotated[str, typer.Option(metavar="CONTACT", help="The contact.")],
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="The event's data; KEY:=VALUE takes JSON."),
    ] = None,
    event_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The event's id; default: a new UUID.")
    ] = None,
    moment: Annotated[
        str | None,
        typer.Option(
            "--time", metavar="TIME", help="When it happened, RFC 3339 with offset; default: now."
        ),
    ] = None,
    source: Annotated[
        str, typer.Option(metavar="SOURCE", help="The event's source.")
    ] = "goald/cli",
    wait: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Wait until the event is processed, and print the exits and notices it causes.",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print one JSON object per line; with --wait, the last is the outcome."
        ),
    ] = False,
) -> None:
    """Send one event and print its id and stream.

    With --wait, exits with 1 if the event is dead-lettered or not processed in time.
    """
    from goald.client import event

    try:
        envelope = event(
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
    if not asyncio.run(_send(envelope, wait, as_json)):
        raise typer.Exit(Code.FAILED)


async def _send(event: dict[str, Any], wait: float | None, as_json: bool) -> bool:
    """Whether the event was sent and, with `wait`, processed in time."""
    from goald.runtime.wiring.operations import event_sender

    with redis_url() as url:
        async with event_sender(url, event) as sender:
            effect = await sender.send(event)
            entry_id = await effect.entry_id()
            if as_json:
                sent = {"id": event["id"], "stream": effect.stream, "entry": entry_id}
                print_json(sent, lines=True)
            else:
                say(f"Sent {event['id']} to {effect.stream}, entry {entry_id}.")
            ignored = _warn_if_ignored(event["type"])
            if event["type"] == "workflow.enrollment.started":
                await _warn_if_unknown(event["tenantid"], event["data"].get("workflow_id"))
            return wait is None or await _wait(effect, wait, ignored, as_json)


async def _wait(effect: "EventEffect", seconds: float, ignored: bool, as_json: bool) -> bool:
    caused: Counter[str] = Counter()
    outcome = "ignored" if ignored else "processed"
    try:
        async for entry in effect.outcome(seconds):
            caused[entry.stream] += 1
            _print(entry, as_json)
    except TimeoutError:
        outcome = "not processed in time"
        complain(
            f"The event was not processed within {seconds:g} s. Check that goald is ready: "
            "`goald status`."
        )
    if caused[DEAD]:
        outcome = "dead-lettered"
    is_done = outcome in {"processed", "ignored"}
    if as_json:
        counts = {"exits": caused[EXITS], "notices": caused[NOTICES]}
        print_json({"outcome": outcome, **counts}, lines=True)
    elif is_done and not caused:
        say(f"Processed: {_without_effect(effect.event_type, ignored)}")
    return is_done


def _without_effect(event_type: str, ignored: bool) -> str:
    """The effect of an event that caused no exit and no notice."""
    if ignored:
        return "the event was ignored."
    if event_type == "contact.deleted":
        return (
            "the contact is erased in Postgres. Its entries in the streams are removed within "
            "GOALD_ERASURE (24 h by default)."
        )
    return "no goal was achieved."


def _warn_if_ignored(event_type: str) -> bool:
    """Whether goald ignores events of this type; if so, warns on standard error."""
    from goald.domain.event_types import PROCESSED_TYPES, ignored

    if event_type in PROCESSED_TYPES:
        return False
    complain(f"Warning: {ignored(event_type)}")
    return True


async def _warn_if_unknown(tenant: str, workflow: object) -> None:
    """Warns on standard error if the tenant has no such workflow. Does nothing if
    Postgres cannot be reached: the event is sent already."""
    from goald.domain.errors import GoaldError
    from goald.domain.suggestions import nearest
    from goald.runtime.wiring.daemon import configuration_service
    from goald.settings import load_settings

    with suppress(GoaldError, TimeoutError), api_dsn(load_settings()) as dsn:
        service = configuration_service(dsn)
        try:
            async with asyncio.timeout(WORKFLOWS_SECONDS):
                rows, total = await service.workflows(tenant, 0, MAX_WORKFLOWS)
        finally:
            await service.close()
        known = [row.id for row in rows]
        if not isinstance(workflow, str) or workflow in known or total > len(known):
            return
        near = nearest(workflow, known)
        question = f" Did you mean {near}?" if near else ""
        complain(f"Warning: goald has no workflow {workflow} of the tenant {tenant}.{question}")


def _print(entry: "TailedEntry", as_json: bool) -> None:
    from goald.cli.output.event_lines import entry_as_json, entry_as_line

    if as_json:
        print_json(entry_as_json(entry), lines=True)
    else:
        say(entry_as_line(entry))


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"--time: {text!r} is not an RFC 3339 time, such as 2026-03-01T12:00:00Z."
        ) from None
    if found.tzinfo is None:
        raise typer.BadParameter(f"--time: {text!r} needs an offset, such as Z or +02:00.")
    return found


def add_to(app: typer.Typer) -> None:
    """Register the command of this file."""
    app.command()(send)
