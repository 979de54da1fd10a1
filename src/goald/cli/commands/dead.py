"""`goald dead`: list, show, replay and purge dead letters."""

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goald.cli.output.exit_codes import Code, complain
from goald.cli.output.printing import print_json, say, table
from goald.cli.target import redis_url

if TYPE_CHECKING:
    from goald.operations.dead_letters import DeadLetterFilter, DeadLetterPage, Replayed
    from goald.ports.dead_letters import StoredDeadLetter

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="An id from `goald dead list`.")]

app = typer.Typer(help="List, show, replay and purge dead letters: events that failed.")


@app.command("list")
def list_dead_letters(
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Show at most N.")] = 50,
    after: Annotated[
        str | None, typer.Option(metavar="ID", help="Start after this dead letter.")
    ] = None,
    newest: Annotated[bool, typer.Option("--newest", help="Newest first.")] = False,
    tenant: Annotated[
        str | None, typer.Option(metavar="TENANT", help="Only dead letters of this tenant.")
    ] = None,
    event_type: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Only dead letters of this type.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List dead letters, oldest first."""
    from goald.operations.dead_letters import DeadLetterFilter

    accept = DeadLetterFilter(tenant, event_type)
    page = asyncio.run(_page(limit, accept, after, newest))
    if as_json:
        print_json(
            {
                "dead_letters": [_as_json(each) for each in page.dead_letters],
                "stored": page.stored,
                "next_after": page.next_after,
            }
        )
        return
    if not page.dead_letters:
        say("No dead letters." if not page.stored else "No dead letters match.")
        return
    table(
        ["id", "at", "tenant", "type", "stream", "attempts#", "reason"],
        (_row(each) for each in page.dead_letters),
    )
    if page.next_after is not None:
        of = f" of {page.stored:,}" if accept == DeadLetterFilter() else ""
        more = "" if of else "There are more. "
        say(
            f"Showing {len(page.dead_letters):,}{of}. {more}Use --limit or --after "
            f"{page.next_after} for more."
        )


@app.command()
def show(dead_letter: Id, as_json: Json = False) -> None:
    """Show one dead letter with its event."""
    found = _as_json(asyncio.run(_get(dead_letter)))
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        say(f"{name:<17} {'-' if value is None else value}")


@app.command()
def replay(
    dead_letters: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Ids from `goald dead list`."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Replay every dead letter that exists now.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Send dead letters to their streams again and remove them from goald:dead.

    An event that fails again becomes a new dead letter with a new id.
    """
    ids = dead_letters or []
    if bool(ids) == everything:
        raise typer.BadParameter("Name dead letters by id, or use --all.")
    result = asyncio.run(_replay(None if everything else ids))
    if as_json:
        print_json({"replayed": result.count, "not_found": list(result.not_found)})
    else:
        say(f"Replayed {_counted(result.count)}.")
    for missing in result.not_found:
        complain(f"There is no dead letter {missing}.")
    if result.not_found:
        raise typer.Exit(Code.FAILED)


@app.command()
def purge(
    count: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Delete at most N, oldest first.")
    ] = None,
    older_than: Annotated[
        float | None,
        typer.Option(min=0, metavar="HOURS", help="Delete only those older than HOURS."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Delete all.")] = False,
    as_json: Json = False,
) -> None:
    """Delete dead letters permanently."""
    if (count is None and older_than is None) != everything:
        raise typer.BadParameter("Use --count or --older-than, or --all to delete all.")
    before = None if older_than is None else int((time.time() - older_than * 3_600) * 1e6)
    purged = asyncio.run(_purge(count, before))
    if as_json:
        print_json({"purged": purged})
    else:
        say(f"Deleted {_counted(purged)}.")


async def _page(
    limit: int, accept: "DeadLetterFilter", after: str | None, newest: bool
) -> "DeadLetterPage":
    from goald.runtime.wiring.operations import dead_letters

    with redis_url() as url:
        async with dead_letters(url) as service:
            return await service.page(limit, accept, after=after, newest_first=newest)


async def _get(dead_letter_id: str) -> "StoredDeadLetter":
    from goald.runtime.wiring.operations import dead_letters

    with redis_url() as url:
        async with dead_letters(url) as service:
            return await service.get(dead_letter_id)


async def _replay(ids: list[str] | None) -> "Replayed":
    """Replay these, or all if None."""
    from goald.operations.dead_letters import Replayed
    from goald.runtime.wiring.operations import dead_letters

    with redis_url() as url:
        async with dead_letters(url) as service:
            if ids is None:
                return Replayed(await service.replay_all(), ())
            return await service.replay(ids)


async def _purge(limit: int | None, older_than_us: int | None) -> int:
    from goald.runtime.wiring.operations import dead_letters

    with redis_url() as url:
        async with dead_letters(url) as service:
            return await service.purge(limit=limit, older_than_us=older_than_us)


def _row(each: "StoredDeadLetter") -> list[object]:
    from goald.operations.events import tenant_of, type_of

    return [
        each.id,
        each.at,
        tenant_of(each.event),
        type_of(each.event),
        each.stream,
        each.delivery_attempts,
        each.reason,
    ]


def _as_json(each: "StoredDeadLetter") -> dict[str, Any]:
    from goald.operations.events import tenant_of, type_of

    return {
        "id": each.id,
        "at": each.at,
        "tenant": tenant_of(each.event),
        "type": type_of(each.event),
        "stream": each.stream,
        "entry_id": each.entry_id,
        "delivery_attempts": each.delivery_attempts,
        "reason": each.reason,
        "event": each.event.decode(errors="backslashreplace"),
    }


def _counted(count: int) -> str:
    return "1 dead letter" if count == 1 else f"{count:,} dead letters"
