"""`goald dead`: what could not be processed, to be looked at, sent again or thrown away."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from goald.cli.output.exit_codes import complain
from goald.cli.output.printing import print_json, say, table

if TYPE_CHECKING:
    from goald.adapters.redis.dead_letters.store import StoredDeadLetter

T = TypeVar("T")
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="As `goald dead list` shows it.")]
PAGE = 500

app = typer.Typer(help="Look at dead letters, send them again, or throw them away.")


@app.command("list")
def list_letters(
    count: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    after: Annotated[str | None, typer.Option(help="Only those behind this id.")] = None,
    newest: Annotated[bool, typer.Option("--newest", help="The newest first.")] = False,
    as_json: Json = False,
) -> None:
    """List dead letters, the oldest first."""
    from goald.adapters.redis.dead_letters.store import list_dead

    letters = _with_client(
        lambda client: list_dead(client, count=count, after=after, newest_first=newest)
    )
    if as_json:
        print_json([_as_json(letter) for letter in letters])
        return
    table(
        ["id", "at", "stream", "attempts#", "reason"],
        ([each.id, each.at, each.stream, each.delivery_attempts, each.reason] for each in letters),
    )


@app.command()
def show(letter: Id, as_json: Json = False) -> None:
    """Show one dead letter, with its event as it came."""
    from goald.adapters.redis.dead_letters.store import show_dead

    found = _with_client(lambda client: show_dead(client, letter))
    if as_json:
        print_json(_as_json(found))
        return
    for name, value in _as_json(found).items():
        say(f"{name:<9} {value}")


@app.command()
def replay(
    letters: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID ...]", help="As `goald dead list` shows them."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that there are now.")] = False,
    as_json: Json = False,
) -> None:
    """Send dead letters to their streams again, and take them out of goald:dead.

    Those that are still wrong come back with new ids.
    """
    chosen = letters or []
    if bool(chosen) == everything:
        raise typer.BadParameter("name dead letters by id, or give --all")
    sent, gone = _with_client(lambda client: _replay(client, chosen, everything))
    if as_json:
        print_json({"replayed": sent, "not_found": gone})
    else:
        say(f"Sent {sent:,} again.")
    for letter in gone:
        complain(f"there is no dead letter {letter}")
    if gone:
        raise typer.Exit(1)


@app.command()
def purge(
    count: Annotated[int | None, typer.Option(min=1, help="At most so many, oldest first.")] = None,
    older_than: Annotated[
        float | None, typer.Option(min=0, help="Only those buried so many hours ago.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    as_json: Json = False,
) -> None:
    """Throw dead letters away, for good. Says how many."""
    import time

    from goald.adapters.redis.dead_letters.store import purge_dead

    if (count is None and older_than is None) != everything:
        raise typer.BadParameter("give --count or --older-than, or --all for all of them")
    before = None if older_than is None else int((time.time() - older_than * 3_600) * 1e6)
    purged = _with_client(lambda client: purge_dead(client, count=count, older_than_us=before))
    if as_json:
        print_json({"purged": purged})
    else:
        say(f"Threw {purged:,} away.")


async def _replay(client: Any, chosen: list[str], everything: bool) -> tuple[int, list[str]]:
    """How many were sent, and the ids that are not there (any more)."""
    from goald.adapters.redis.dead_letters.store import replay_dead
    from goald.domain.errors import NotFound

    if everything:
        chosen = await _all_ids(client)
    gone = []
    for letter in chosen:
        try:
            await replay_dead(client, letter)
        except NotFound:
            gone.append(letter)
    return len(chosen) - len(gone), [] if everything else gone


async def _all_ids(client: Any) -> list[str]:
    """Those that there are now: what comes back meanwhile is not sent a second time."""
    from goald.adapters.redis.dead_letters.store import list_dead

    ids: list[str] = []
    newest = await list_dead(client, count=1, newest_first=True)
    while newest and (not ids or ids[-1] != newest[0].id):
        page = await list_dead(client, count=PAGE, after=ids[-1] if ids else None)
        for letter in page:
            ids.append(letter.id)
            if letter.id == newest[0].id:
                break
        if not page:
            break
    return ids


def _with_client(work: Callable[[Any], Awaitable[T]]) -> T:
    from goald.adapters.redis.connect import connect
    from goald.runtime.instance import find
    from goald.settings import load_settings

    async def run() -> T:
        client = connect(find(load_settings()).redis_url)
        try:
            return await work(client)
        finally:
            await client.aclose()

    return asyncio.run(run())


def _as_json(letter: "StoredDeadLetter") -> dict[str, Any]:
    return {
        "id": letter.id,
        "stream": letter.stream,
        "entry_id": letter.entry_id,
        "at": letter.at,
        "delivery_attempts": letter.delivery_attempts,
        "reason": letter.reason,
        "event": letter.event.decode(errors="backslashreplace"),
    }
