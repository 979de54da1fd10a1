"""The changes of `goald apply`, for a person and for a program. No secret is in them."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from goald.cli.output.printing import plain

if TYPE_CHECKING:
    from goald.configuration.secrets import SourceDefinition
    from goald.configuration.sources import SourceEdit
    from goald.domain.configuration.workflows import ConfigurationChange, Row
    from goald.domain.credentials.sources import SourceEntry
    from goald.domain.definitions.differences import StepDifference

MARKS = {"create": "+ create", "update": "~ update", "delete": "- delete"}
COLUMNS = ("", "what", "id", "change")


def change_row(change: "ConfigurationChange") -> list[object]:
    """Return the cells of a change of a workflow, a goal, the catalog or the settings."""
    return [MARKS[change.action], _kind(change.row), _name(change.row), _changed(change)]


def edit_row(edit: "SourceEdit") -> list[object]:
    """Return the cells of a change of a source: of its overrides only the names, because they can
    be a whole document."""
    return [MARKS[edit.action], "source", edit.name, ", ".join(_source_texts(edit))]


def change_json(change: "ConfigurationChange") -> dict[str, Any]:
    """Return a change of a workflow, a goal, the catalog or the settings as a JSON object."""
    return {
        "action": change.action,
        "kind": _kind(change.row),
        "before": _fields(change.before) or None,
        "after": _fields(change.after) or None,
        **_missed(change),
        **_steps_json(change),
    }


def edit_json(edit: "SourceEdit", url: str | None) -> dict[str, Any]:
    """Return a change of a source as a JSON object. `url`: of a source that was created."""
    name = {"name": edit.name}
    return {
        "action": edit.action,
        "kind": "source",
        "before": name | _source_fields(edit.before) if edit.before is not None else None,
        "after": name | _source_fields(edit.after) if edit.after is not None else None,
        "secrets_changed": edit.changes_secrets,
        "notes": list(edit.notes),
        "url": url,
    }


def _kind(row: "Row") -> str:
    from goald.domain.configuration.workflows import (
        DefinitionRow,
        EntityRow,
        GoalRow,
        SettingsRow,
    )

    if isinstance(row, EntityRow):
        return row.kind
    if isinstance(row, SettingsRow):
        return "settings"
    if isinstance(row, DefinitionRow):
        return "definition"
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
    if "digest" in after:
        return _definition_text(change)
    if change.before is None:
        omitted = {"id", "workflow_id", "key", "position", "effective_from"}
        if not after.get("check_on_enrollment"):
            omitted.add("check_on_enrollment")
        if after.get("conversion_window") is None:
            omitted.add("conversion_window")
        return _listed({name: value for name, value in after.items() if name not in omitted})
    changed = _differences(_fields(change.before), after)
    return ", ".join(text for text in (changed, _listed(_missed(change))) if text)


def _missed(change: "ConfigurationChange") -> dict[str, Any]:
    """The number of enrollments that met a goal while their workflow was paused, if there are any,
    and whether they exit."""
    from goald.domain.configuration.workflows import WorkflowRow

    if not change.missed or not isinstance(change.after, WorkflowRow):
        return {}
    return {"missed": change.missed, "exit_missed": change.after.exits_missed}


def _definition_text(change: "ConfigurationChange") -> str:
    """The steps of a published definition: those that differ from the version before it."""
    marks = {"added": "+", "removed": "-", "changed": "~", "moved": ">"}
    steps = [
        f"{marks[each.change]}{each.step_id}"
        for each in _step_differences(change)
        if each.change in marks
    ]
    previous, after = change.previous, change.after
    if previous is not None and after is not None and previous.id == _name(after):
        return "draft removed"
    replaced = "draft replaced" if change.before is not None else ""
    listed = f"steps: {' '.join(steps)}" if steps else ""
    return ", ".join(text for text in ("published", replaced, listed) if text)


def _steps_json(change: "ConfigurationChange") -> dict[str, Any]:
    """The steps of a published definition, with what changed, and where executions continue."""
    from goald.domain.configuration.workflows import DefinitionRow

    if not isinstance(change.row, DefinitionRow):
        return {}
    return {
        "steps": [
            {"id": each.step_id, "change": each.change, "continues_at": each.continues_at}
            for each in _step_differences(change)
        ]
    }


def _step_differences(change: "ConfigurationChange") -> "Sequence[StepDifference]":
    """How the steps differ from the version that was published before; without one, all are
    added."""
    from goald.domain.configuration.workflows import DefinitionRow
    from goald.domain.definitions.differences import compare_definitions
    from goald.domain.definitions.readers.definition import read_definition
    from goald.domain.definitions.steps import WorkflowDefinition

    if not isinstance(change.after, DefinitionRow):
        return ()
    new = read_definition(change.after.document).definition
    previous = change.previous
    old = read_definition(previous.document).definition if previous else WorkflowDefinition(())
    return () if new is None or old is None else compare_definitions(old, new)


def _listed(fields: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {plain(value)}" for name, value in fields.items())


def _differences(before: dict[str, Any], after: dict[str, Any]) -> str:
    """The fields of `after` that differ."""
    return ", ".join(
        f"{name}: {plain(before.get(name))} -> {plain(value)}"
        for name, value in after.items()
        if before.get(name) != value
    )


def _fields(row: "Row | None") -> dict[str, Any]:
    """A row as a JSON object, with amounts as decimals."""
    if row is None:
        return {}
    from goald.domain.configuration.workflows import DefinitionRow, GoalRow
    from goald.domain.times import rfc3339

    if isinstance(row, DefinitionRow):
        return {
            "workflow_id": row.workflow_id,
            "version": row.version,
            "digest": row.digest.hex(),
            "is_published": row.is_published,
        }
    fields = asdict(row)
    fields.pop("metadata", None)
    for name in ("exits_missed", "overdue", "activated_at"):  # of the last activation
        fields.pop(name, None)
    if isinstance(row, GoalRow):
        since = row.effective_from
        fields["id"] = str(row.id)
        fields["criteria"] = dict(row.criteria)
        fields["effective_from"] = None if since is None else rfc3339(since)
    return fields


def _source_texts(edit: "SourceEdit") -> Iterator[str]:
    before, after = _source_fields(edit.before), _source_fields(edit.after)
    if edit.after is None:
        return
    if edit.before is None:
        yield f"preset: {after['preset']}"
    elif before["preset"] != after["preset"]:
        yield f"preset: {before['preset']} -> {after['preset']}"
    counts = before.get("secrets", 0), after.get("secrets", 0)
    if edit.changes_secrets:
        if counts[0] == counts[1]:
            yield "secrets: changed"
        else:
            yield f"secrets: {counts[0]} -> {counts[1]}" if edit.before else f"secrets: {counts[1]}"
    old, new = before.get("overrides", {}), after["overrides"]
    if changed := [name for name in {**old, **new} if old.get(name) != new.get(name)]:
        yield f"overrides: {' '.join(changed)}"
    elif edit.before is not None and list(old) != list(new):
        yield "overrides: order"


def _source_fields(row: "SourceEntry | SourceDefinition | None") -> dict[str, Any]:
    """A source as a JSON object, with the number of its secrets."""
    from goald.domain.credentials.sources import SourceEntry

    if row is None:
        return {}
    fields: dict[str, Any] = {"preset": row.preset, "overrides": dict(row.overrides)}
    if isinstance(row, SourceEntry):
        return fields | {"secrets": row.secret_count}
    # None: the source keeps its secrets.
    return fields | ({} if row.secrets is None else {"secrets": len(row.secrets)})
