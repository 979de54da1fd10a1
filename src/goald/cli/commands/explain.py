"""`goald explain`: what one event would do, and why not more."""

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goald.cli.output.printing import console, print_json, printable

if TYPE_CHECKING:
    from rich.tree import Tree

LARGEST = 1 << 20
"""Bytes that are read of a file; an event has at most 64 KiB (D9)."""


def explain(
    file: Annotated[
        Path, typer.Argument(help="One event as JSON; - is standard input.", show_default=False)
    ],
    tenant: Annotated[
        str | None, typer.Option(help="Whose contacts to look at; else the event's own tenant.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what an event would do now to each enrollment of its contact, and why not more.

    Nothing is sent or written.
    """
    from goald.runtime.instance import find
    from goald.settings import load_settings

    event = _read(file)
    settings = load_settings()
    dsn = settings.postgres_api_dsn or find(settings).postgres_dsn
    whose = _tenant_of(event) if tenant is None else tenant
    told = asyncio.run(_explain(dsn, settings.clock_skew, whose, event))
    if as_json:
        print_json(told)
    else:
        console().print(_tree(told))


async def _explain(dsn: str, clock_skew: float, tenant: str, event: bytes) -> dict[str, Any]:
    from goald.runtime.wiring.daemon import explainer

    async with explainer(dsn, clock_skew) as dry_run:
        return await dry_run.explain(tenant, event)


def _read(file: Path) -> bytes:
    from goald.domain.errors import InvalidFile

    try:
        if str(file) == "-":
            return sys.stdin.buffer.read(LARGEST)
        with file.open("rb") as opened:
            return opened.read(LARGEST)
    except OSError as error:
        raise InvalidFile(f"{file} cannot be read: {error.strerror or error}") from None


def _tenant_of(event: bytes) -> str:
    from goald.domain.errors import InvalidEvent

    try:
        named = json.loads(event)
    except (ValueError, RecursionError) as error:
        raise InvalidEvent(f"not JSON: {error}") from None
    tenant = named.get("tenantid") if isinstance(named, dict) else None
    if not isinstance(tenant, str):
        raise typer.BadParameter("the event names no tenant: give --tenant")
    return tenant


def _tree(told: dict[str, Any]) -> "Tree":
    from rich.tree import Tree

    event = told["event"]
    about = f"{event['type']} {event['id']} of {event['contact_id']} at {event['time']}"
    tree = Tree(_text(f"{about}: {told['reason']}" if told["reason"] else about))
    for enrollment in told["enrollments"]:
        name = f"{enrollment['enrollment_id']} in {enrollment['workflow_id']}"
        branch = tree.add(_text(f"{name}: {_outcome(enrollment)}", enrollment["matched"]))
        for goal in enrollment["goals"]:
            wanted = json.dumps(goal["criteria"], ensure_ascii=False)
            said = f"{goal['goal_type']} {wanted}: {_verdict(goal)}"
            branch.add(_text(said, goal["matched"]))
    if told["truncated"]:
        tree.add(_text("and more, which are not shown"))
    return tree


def _outcome(enrollment: dict[str, Any]) -> str:
    if enrollment["completes"]:
        return "would complete"
    if any(goal["achieved"] for goal in enrollment["goals"]):
        return "would come nearer to completion"
    return enrollment["reason"] or "nothing would change"


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
