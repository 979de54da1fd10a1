"""`goald apply`: workflows as code."""

import asyncio
import getpass
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goald.cli.output.printing import plain, print_json, say, table
from goald.cli.target import api_dsn

if TYPE_CHECKING:
    from goald.configuration.service import ApplyResult
    from goald.domain.configuration.desired import DesiredConfiguration
    from goald.domain.configuration.workflows import ConfigurationChange, Row
    from goald.settings import Settings

MARKS = {"create": "+ create", "update": "~ update", "delete": "- delete"}


def apply(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A YAML file.", show_default=False)],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the changes without making them.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete everything that the file does not contain.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Change a tenant's workflows, goals, catalog and activation to match a file.

    Returns when every live shard has loaded the change, or after 2 s. Applying a file again
    changes nothing.
    """
    from goald.configuration.file import read_configuration
    from goald.settings import load_settings

    desired = read_configuration(file)
    with api_dsn(load_settings()) as dsn:
        changes, applied = asyncio.run(_apply(dsn, desired, dry_run=dry_run, prune=prune))
    if as_json:
        print_json(_as_json(desired.tenant, changes, applied))
        return
    if changes:
        table(["", "what", "id", "change"], [_row(change) for change in changes])
    say(_summary(desired.tenant, len(changes), applied))


async def _apply(
    dsn: str, desired: "DesiredConfiguration", *, dry_run: bool, prune: bool
) -> "tuple[list[ConfigurationChange], ApplyResult | None]":
    """Return the changes, and the result of applying these changes; None for a dry run."""
    from goald.runtime.wiring.daemon import configuration_service
    from goald.settings import load_settings

    settings = load_settings()
    service = configuration_service(
        dsn,
        _redis_url(settings),
        catalog=settings.catalog,
        max_workflows=settings.max_workflows,
    )
    try:
        if dry_run:
            return await service.plan(desired, prune=prune), None
        applied = await service.apply(desired, prune=prune, actor=_actor())
        return applied.changes, applied
    finally:
        await service.close()


def _redis_url(settings: "Settings") -> str | None:
    """The Redis that notifies the shards of the change. None if only GOALD_POSTGRES_API_DSN is
    set; the shards then find the change within a second."""
    if settings.postgres_api_dsn is not None:
        return settings.redis_url
    from goald.runtime.instance import find

    return find(settings).redis_url


def _actor() -> str:
    """The user of this machine, for the audit log."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):  # The user of a container may have no name.
        return f"cli:{os.getuid()}"


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


def _row(change: "ConfigurationChange") -> list[object]:
    return [MARKS[change.action], _kind(change.row), _name(change.row), _changed(change)]


def _kind(row: "Row") -> str:
    from goald.domain.configuration.workflows import EntityRow, GoalRow

    if isinstance(row, EntityRow):
        return row.kind
    return "goal" if isinstance(row, GoalRow) else "workflow"


def _name(row: "Row") -> str:
    from goald.domain.configuration.workflows import GoalRow

    if not isinstance(row, GoalRow):
        return row.id
    return f"{row.workflow_id} / {row.key or row.goal_type}"


def _changed(change: "ConfigurationChange") -> str:
    """The changed fields: `field: before -> after`, or the fields of a new row."""
    after = _fields(change.after)
    if change.after is None:
        return ""
    if change.before is None:
        omitted = {"id", "workflow_id", "key", "position", "effective_from"}
        return ", ".join(
            f"{name}: {plain(value)}" for name, value in after.items() if name not in omitted
        )
    before = _fields(change.before)
    return ", ".join(
        f"{name}: {plain(before.get(name))} -> {plain(value)}"
        for name, value in after.items()
        if before.get(name) != value
    )


def _fields(row: "Row | None") -> dict[str, Any]:
    """A row as a JSON object, with amounts as decimals."""
    if row is None:
        return {}
    from goald.domain.configuration.workflows import GoalRow
    from goald.domain.times import rfc3339

    fields = asdict(row)
    fields.pop("metadata", None)
    if isinstance(row, GoalRow):
        since = row.effective_from
        fields["id"] = str(row.id)
        fields["criteria"] = dict(row.criteria)
        fields["effective_from"] = None if since is None else rfc3339(since)
    return fields


def _as_json(
    tenant: str, changes: "list[ConfigurationChange]", applied: "ApplyResult | None"
) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "dry_run": applied is None,
        "changes": [
            {
                "action": change.action,
                "kind": _kind(change.row),
                "before": _fields(change.before) or None,
                "after": _fields(change.after) or None,
            }
            for change in changes
        ],
        "version": applied.version if applied else None,
        "shards": asdict(applied.rollout) if applied and applied.rollout else None,
    }


def add_to(app: typer.Typer) -> None:
    """Register the command of this file."""
    app.command()(apply)
