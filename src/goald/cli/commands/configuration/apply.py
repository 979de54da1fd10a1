"""`goald apply`: workflows as code."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goald.cli.configuration import actor, notified_redis, open_configuration
from goald.cli.output.configuration_changes import (
    COLUMNS,
    change_json,
    change_row,
    edit_json,
    edit_row,
)
from goald.cli.output.exit_codes import complain
from goald.cli.output.printing import print_json, say, table
from goald.cli.target import api_dsn

if TYPE_CHECKING:
    from goald.configuration.secrets import SourceDefinition
    from goald.configuration.service import ApplyResult, ConfigurationService
    from goald.configuration.sources import SourceEdit
    from goald.domain.configuration.desired import DesiredConfiguration
    from goald.domain.configuration.workflows import ConfigurationChange


@dataclass(slots=True)
class _Outcome:
    """The changes of a run, and their result."""

    changes: "Sequence[ConfigurationChange]" = ()
    applied: "ApplyResult | None" = None
    """None for a dry run."""
    edits: "Sequence[SourceEdit]" = ()
    urls: dict[str, str] = field(default_factory=dict)
    """Of the sources that were created, by name."""


def apply(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A YAML file.", show_default=False)],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the changes without making them.")
    ] = False,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Delete objects that a section of the file does not list."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Change a tenant's workflows, goals, settings, catalog and sources to match a file.

    Returns when every live shard has loaded the change, or after 2 s. Applying a file again
    changes nothing. The URL of a new source is printed once.
    """
    from goald.configuration.file import read_configuration
    from goald.configuration.secrets import read_secrets
    from goald.domain.errors import InvalidFile
    from goald.settings import load_settings

    desired = read_configuration(file)
    outcome = _Outcome()
    try:
        sources = read_secrets(desired.sources or (), file.parent, os.environ)
        with api_dsn(load_settings()) as dsn:
            asyncio.run(_apply(outcome, dsn, desired, sources, dry_run=dry_run, prune=prune))
    except InvalidFile as error:
        # Found before anything is changed.
        raise InvalidFile(f"{file}:\n{error}") from None
    except BaseException:
        # Nothing else can return these URLs.
        for name, url in outcome.urls.items():
            complain(f"the source {name} was created: {url}")
        raise
    if as_json:
        print_json(_as_json(desired.tenant, outcome))
    else:
        _print(desired.tenant, outcome)


async def _apply(
    outcome: _Outcome,
    dsn: str,
    desired: "DesiredConfiguration",
    sources: "Sequence[SourceDefinition]",
    *,
    dry_run: bool,
    prune: bool,
) -> None:
    """Plan everything, then change workflows, then sources; complete `outcome` on the way."""
    from goald.settings import load_settings

    settings = load_settings()
    redis_url = notified_redis(settings)
    async with open_configuration(settings, dsn, redis_url) as service:
        if desired.sources is None:
            await _apply_workflows(outcome, service, desired, dry_run=dry_run, prune=prune)
            return
        from goald.runtime.wiring.source_commands import source_configuration

        async with source_configuration(settings, dsn, redis_url) as source_service:
            outcome.edits = await source_service.plan(desired.tenant, sources, prune=prune)
            await _apply_workflows(outcome, service, desired, dry_run=dry_run, prune=prune)
            if not dry_run:
                await source_service.write(
                    desired.tenant, outcome.edits, actor(), outcome.urls.__setitem__
                )


async def _apply_workflows(
    outcome: _Outcome,
    service: "ConfigurationService",
    desired: "DesiredConfiguration",
    *,
    dry_run: bool,
    prune: bool,
) -> None:
    if dry_run:
        outcome.changes = await service.plan(desired, prune=prune)
        return
    outcome.applied = await service.apply(desired, prune=prune, actor=actor())
    outcome.changes = outcome.applied.changes


def _print(tenant: str, outcome: _Outcome) -> None:
    rows = [change_row(change) for change in outcome.changes]
    rows += [edit_row(edit) for edit in outcome.edits]
    if rows:
        table(COLUMNS, rows)
    for edit in outcome.edits:
        for note in edit.notes:
            say(f"note: source {edit.name}: {note}")
    for name, url in outcome.urls.items():
        say(f"URL of the source {name}, shown only now: {url}")
    say(_summary(tenant, len(rows), outcome.applied))


def _summary(tenant: str, count: int, applied: "ApplyResult | None") -> str:
    if count == 0:
        return f"Nothing to do: {tenant} matches the file."
    changes = "1 change" if count == 1 else f"{count} changes"
    if applied is None:
        return f"{changes} for {tenant}. Dry run: nothing was changed."
    done = f"{changes} made for {tenant}."
    if applied.version is None:
        return done
    rollout = applied.rollout
    if rollout is None:
        return f"{done} The state of the shards is unknown: Postgres became unavailable."
    if rollout.live == 0:
        return f"{done} No shard is running: the change applies when goald starts."
    later = "" if applied.is_rolled_out else "; the others will follow"
    return f"{done} {rollout.ready} of {rollout.live} shards have loaded the change{later}."


def _as_json(tenant: str, outcome: _Outcome) -> dict[str, Any]:
    applied = outcome.applied
    return {
        "tenant": tenant,
        "dry_run": applied is None,
        "changes": [
            *(change_json(change) for change in outcome.changes),
            *(edit_json(edit, outcome.urls.get(edit.name)) for edit in outcome.edits),
        ],
        "version": applied.version if applied else None,
        "shards": asdict(applied.rollout) if applied and applied.rollout else None,
    }


def add_to(app: typer.Typer) -> None:
    """Register the command of this file."""
    app.command()(apply)
