"""Notices about configuration changes: `workflow.goal.*` and `workflow.*activated`."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from goald.domain.configuration.workflows import ConfigurationChange, GoalRow, WorkflowRow
from goald.domain.times import rfc3339

_GOAL_NOTICES = {
    "create": "workflow.goal.configured",
    "update": "workflow.goal.updated",
    "delete": "workflow.goal.deleted",
}


def notices_for(change: ConfigurationChange) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (workflow id, notice type, data) for each notice of a change. A change of a catalog
    entity has none."""
    row, before = change.row, change.before
    if isinstance(row, GoalRow):
        yield row.workflow_id, _GOAL_NOTICES[change.action], _goal_data(row)
    elif isinstance(row, WorkflowRow):
        was_active = isinstance(before, WorkflowRow) and before.is_active
        is_active = row.is_active and change.after is not None
        if is_active != was_active:
            name = "workflow.activated" if is_active else "workflow.deactivated"
            yield row.id, name, {"workflow_id": row.id, "name": row.name}


def notice(name: str, notice_id: str, tenant_id: str, now_us: int, data: dict[str, Any]) -> str:
    """Return a notice as a CloudEvent in JSON."""
    event = {
        "specversion": "1.0",
        "id": notice_id,
        "source": "goald",
        "type": name,
        "time": rfc3339(now_us),
        "tenantid": tenant_id,
        "datacontenttype": "application/json",
        "data": data,
    }
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def _goal_data(row: GoalRow) -> dict[str, Any]:
    """Amounts are decimal strings, because many JSON parsers turn numbers into floats."""
    return {
        "id": str(row.id),
        "workflow_id": row.workflow_id,
        "goal_type": row.goal_type,
        "criteria": {
            name: str(value) if isinstance(value, Decimal) else value
            for name, value in row.criteria.items()
        },
        "check_on_enrollment": row.check_on_enrollment,
        "conversion_window": row.conversion_window,
        "is_active": row.is_active,
        "effective_from": None if row.effective_from is None else rfc3339(row.effective_from),
    }
