"""`goald explain`: show what one event would do, and why."""

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goald.cli.output.printing import console, plain, print_json, printable

if TYPE_CHECKING:
    from rich.tree import Tree

MAX_FILE_BYTES = 1 << 20
"""Bytes. An event has at most 256 KiB (D9)."""
NOT_AN_EVENT = "This is not an event. For a provider's payload, use `goald sources test`."


def explain(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="One event as JSON; - is standard input.", show_default=False
        ),
    ],
    tenant: Annotated[
        str | None,
        typer.Option(metavar="TENANT", help="The tenant; default: the event's own tenant."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what an event would do to each enrollment of its contact, and why.

    A dry run: nothing is sent or written.
    """
    from goald.cli.target import api_dsn
    from goald.domain.errors import InvalidEvent
    from goald.settings import load_settings

    event = _read(file)
    settings = load_settings()
    tenant = _tenant_of(event) if tenant is None else tenant
    with api_dsn(settings) as dsn:
        limits = settings.clock_skew, settings.late, settings.max_enrollments_per_contact
        try:
            explanation = asyncio.run(_explain(dsn, limits, tenant, event))
        except InvalidEvent as error:
            if _is_payload(event):
                raise InvalidEvent(f"{error}. {NOT_AN_EVENT}") from None
            raise
    if as_json:
        print_json(explanation)
    else:
        console().print(_tree(explanation))


async def _explain(
    dsn: str, limits: tuple[float, float, int], tenant: str, event: bytes
) -> dict[str, Any]:
    from goald.runtime.wiring.daemon import explainer

    async with explainer(dsn, *limits) as dry_run:
        return await dry_run.explain(tenant, event)


def _read(file: Path) -> bytes:
    """The event, without a byte-order mark. Raises InvalidFile."""
    from goald.domain.errors import InvalidFile
    from goald.operations.replay.event_file import BYTE_ORDER_MARK

    try:
        if str(file) == "-":
            event = sys.stdin.buffer.read(MAX_FILE_BYTES)
        else:
            with file.open("rb") as opened:
                event = opened.read(MAX_FILE_BYTES)
    except OSError as error:
        raise InvalidFile(f"Cannot read {file}: {error.strerror or error}.") from None
    return event.removeprefix(BYTE_ORDER_MARK)


def _tenant_of(event: bytes) -> str:
    from goald.domain.errors import InvalidEvent

    try:
        contents = json.loads(event)
    except (ValueError, RecursionError) as error:
        raise InvalidEvent(f"The event is not JSON: {error}.") from None
    tenant = contents.get("tenantid") if isinstance(contents, dict) else None
    if not isinstance(tenant, str):
        if _is_payload(event):
            raise InvalidEvent(NOT_AN_EVENT)
        raise typer.BadParameter("The event names no tenant. Use --tenant.")
    return tenant


def _is_payload(event: bytes) -> bool:
    """Whether this is a JSON object, but no event: it has no attribute of a CloudEvent that
    providers do not use, and no type that goald processes."""
    from goald.domain.event_types import PROCESSED_TYPES

    try:
        contents = json.loads(event)
    except (ValueError, RecursionError):
        return False
    if not isinstance(contents, dict) or contents.keys() & {"specversion", "tenantid"}:
        return False
    return str(contents.get("type")) not in PROCESSED_TYPES


def _tree(explanation: dict[str, Any]) -> "Tree":
    from rich.tree import Tree

    event, reason = explanation["event"], _headline(explanation)
    about = f"{event['type']} {event['id']} of {event['contact_id']} at {event['time']}"
    tree = Tree(_text(f"{about}: {reason}" if reason else about))
    for enrollment in explanation["enrollments"]:
        name = f"{enrollment['enrollment_id']} in {enrollment['workflow_id']}"
        branch = tree.add(_text(f"{name}: {_outcome(enrollment)}", enrollment["matched"]))
        if enrollment["execution"] is not None:
            branch.add(_text(_position(enrollment["execution"])))
        for goal in enrollment["goals"]:
            line = f"{goal['goal_type']} {plain(goal['criteria'])}: {_verdict(goal)}"
            branch.add(_text(line, goal["matched"]))
    if explanation["truncated"]:
        tree.add(_text("more enrollments are not shown"))
    return tree


def _position(execution: dict[str, Any]) -> str:
    """The step of the execution, and when it continues."""
    step = f"step {execution['current_step_index']} of {execution['total_steps']}"
    place = f"{step}, {execution['step_id']}" if execution["step_id"] else step
    reason = execution["waiting_reason"]
    return f"{execution['status']} at {place}" + (f": {reason}" if reason else "")


def _headline(explanation: dict[str, Any]) -> str | None:
    """Why nothing can match, for a person; None if something can."""
    from goald.domain.event_types import PROCESSED_TYPES, ignored

    reason, event_type = explanation["reason"], explanation["event"]["type"]
    if reason == "not enrolled" and explanation["enrollments"]:
        return "no active enrollment"
    if reason == "other event type":
        if event_type in PROCESSED_TYPES:
            return "no goal listens to events of this type"
        return ignored(event_type)
    return None if reason is None else str(reason)


def _outcome(enrollment: dict[str, Any]) -> str:
    if enrollment["completes"]:
        return "would complete"
    if enrollment["after_end"]:
        return "would meet a goal after its end, without an exit"
    if any(goal["achieved"] for goal in enrollment["goals"]):
        return "would meet a goal, but not all goals"
    return enrollment["reason"] or "no change"


def _verdict(goal: dict[str, Any]) -> str:
    if goal["achieved"]:
        return "achieved"
    return f"matched, but {goal['reason']}" if goal["matched"] else str(goal["reason"])


def _text(text: str, good: bool = False) -> Any:
    from rich.text import Text

    return Text(printable(text), style="green" if good else "")


def add_to(app: typer.Typer) -> None:
    """Register the command of this file."""
    app.command()(explain)
