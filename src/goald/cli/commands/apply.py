"""`goald apply`: workflows as code."""

import asyncio
import getpass
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goald.cli.output.printing import print_json, say, table

if TYPE_CHECKING:
    from goald.configuration.service import ApplyResult, ConfigurationService
    from goald.domain.configuration.desired import DesiredConfiguration
    from goald.domain.configuration.workflows import ConfigurationChange, Row

MARKS = {"create": "+ create", "update": "~ update", "delete": "- delete"}


def apply(
    file: Annotated[Path, typer.Argument(help="A YAML file.", show_default=False)],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the differences, change nothing.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete what the file does not name.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a tenant's workflows, goals, catalog and activation equal to a file.

    Answers when every live shard has it, or after 2 s. Applying it twice changes nothing.
    """
    from goald.configuration.file import read_configuration
    from goald.runtime.instance import find
    from goald.runtime.wiring.daemon import configuration_service
    from goald.settings import load_settings

    wanted = read_configuration(file)
    settings = load_settings()
    dsn, redis_url = settings.postgres_api_dsn, settings.redis_url
    if dsn is None:
        instance = find(settings)
        dsn, redis_url = instance.postgres_dsn, instance.redis_url
    service = configuration_service(dsn, redis_url, catalog=settings.catalog)
    changes, applied = asyncio.run(_apply(service, wanted, dry_run=dry_run, prune=prune))
    if as_json:
        print_json(_as_json(wanted.tenant, changes, applied))
        return
    if changes:
        table(["", "what", "id", "change"], [_line(change) for change in changes])
    say(_summary(wanted.tenant, len(changes), applied))


async def _apply(
    service: "ConfigurationService", wanted: "DesiredConfiguration", *, dry_run: bool, prune: bool
) -> "tuple[list[ConfigurationChange], ApplyResult | None]":
    """The differences, and what became of them; None for a dry run. Closes the service."""
    try:
        if dry_run:
            return await service.plan(wanted, prune=prune), None
        applied = await service.apply(wanted, prune=prune, actor=_actor())
        return applied.changes, applied
    finally:
        await service.close()


def _actor() -> str:
    """Who applies it, for the audit log: the user of this machine."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):  # a container's user may have no name
        return f"cli:{os.getuid()}"


def _summary(tenant: str, count: int, applied: "ApplyResult | None") -> str:
    if count == 0:
        return f"Nothing to do: {tenant} is as the file says."
    changes = "1 change" if count == 1 else f"{count} changes"
    if applied is None:
        return f"{changes} to make for {tenant}; nothing was changed."
    if applied.version is None:
        return f"{changes} made for {tenant}."
    rollout = applied.rollout
    if rollout is None:
        return f"{changes} made for {tenant}. Postgres could not say which shards have it."
    if rollout.live == 0:
        return f"{changes} made for {tenant}. No shard is running: the next ones will have it."
    later = "" if applied.is_rolled_out else "; the others will have it as soon as they can"
    return f"{changes} made for {tenant}. {rollout.ready} of {rollout.live} shards have it{later}."


def _line(change: "ConfigurationChange") -> list[object]:
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
    """What a person needs to see of it: `field: before -> after`, or what is new."""
    after = _fields(change.after)
    if change.after is None:
        return ""
    if change.before is None:
        hidden = {"id", "workflow_id", "key", "position", "effective_from"}
        shown = {name: value for name, value in after.items() if name not in hidden}
        return ", ".join(f"{name}: {_plain(value)}" for name, value in shown.items())
    before = _fields(change.before)
    return ", ".join(
        f"{name}: {_plain(before.get(name))} -> {_plain(value)}"
        for name, value in after.items()
        if before.get(name) != value
    )


def _fields(row: "Row | None") -> dict[str, Any]:
    """A row as JSON carries it."""
    if row is None:
        return {}
    from goald.domain.configuration.workflows import GoalRow
    from goald.domain.times import rfc3339

    fields = asdict(row)
    fields.pop("metadata", None)
    if isinstance(row, GoalRow):
        since = row.effective_from
        fields["id"] = str(row.id)
        fields["criteria"] = {name: _criterion(value) for name, value in row.criteria.items()}
        fields["effective_from"] = None if since is None else rfc3339(since)
    return fields


def _criterion(value: object) -> object:
    return value if isinstance(value, str | bool) else str(value)


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_plain(each)}" for name, each in value.items()) + "}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


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
