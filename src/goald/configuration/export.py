"""The configuration of a tenant as the contents of a file for `goald apply`."""

from dataclasses import asdict
from decimal import Decimal
from typing import Any, get_args

from goald.configuration.ports import ConfigurationStore
from goald.domain.configuration.goals import HAS_STATE, CatalogKind
from goald.domain.configuration.workflows import (
    ConfigurationScope,
    CurrentConfiguration,
    CurrentDefinition,
    GoalRow,
)
from goald.domain.times import rfc3339

_KINDS: tuple[str, ...] = get_args(CatalogKind)


async def export_configuration(store: ConfigurationStore, tenant: str) -> dict[str, Any]:
    """Return the contents of a file that changes nothing if it is applied now, apart from drafts,
    which it would remove. Sources are left out, because a file refers to their secrets; so is
    whether a goal is active, which a file cannot say. Raises ServiceUnavailable."""
    scope = ConfigurationScope(
        workflows=None, kinds=_KINDS, references=False, settings=True, definitions=True
    )
    current = await store.load(tenant, scope)
    contents: dict[str, Any] = {"tenant": tenant}
    if current.settings is not None:
        contents["settings"] = {
            name: value for name, value in asdict(current.settings).items() if value is not None
        }
    contents["workflows"] = [_workflow(current, id_) for id_ in sorted(current.workflows)]
    catalog = {
        kind: [{"id": row.id, "name": row.name} for _, row in sorted(rows.items())]
        for kind, rows in sorted(current.catalog.items())
    }
    return contents | ({"catalog": catalog} if catalog else {})


def _workflow(current: CurrentConfiguration, workflow_id: str) -> dict[str, Any]:
    row = current.workflows[workflow_id]
    published = current.definitions.get(workflow_id, CurrentDefinition()).published
    return {
        "id": row.id,
        "name": row.name,
        "goal_logic": row.goal_logic,
        "active": row.is_active,
        "goals": [_goal(goal) for goal in current.goals.get(workflow_id, [])],
        **(published.document if published is not None else {}),
    }


def _goal(row: GoalRow) -> dict[str, Any]:
    goal: dict[str, Any] = {} if row.key is None else {"key": row.key}
    goal["goal_type"] = row.goal_type
    # Amounts are text in a file.
    goal["criteria"] = {
        name: format(value, "f") if isinstance(value, Decimal) else value
        for name, value in row.criteria.items()
    }
    if row.effective_from is not None:
        goal["effective_from"] = rfc3339(row.effective_from)
    if row.goal_type in HAS_STATE:
        goal["check_on_enrollment"] = row.check_on_enrollment
    if row.conversion_window is not None:
        goal["conversion_window"] = row.conversion_window
    return goal
