"""Rules that file diffs (`diff`) and single edits (`edits`) share when they build rows."""

from dataclasses import replace

from goald.domain.configuration.goals import MAX_GOALS, GoalLogic
from goald.domain.configuration.workflows import (
    ConfigurationChange,
    CurrentConfiguration,
    GoalRow,
    Overdue,
    Row,
    SettingsPatch,
    SettingsRow,
    WorkflowRow,
)
from goald.domain.errors import OverdueSteps


def change_if_different(before: Row | None, after: Row) -> list[ConfigurationChange]:
    """Return the change from one row to the other; an empty list if they are equal."""
    return [ConfigurationChange(before, after)] if before != after else []


def workflow_deletion(workflow: WorkflowRow, goals: list[GoalRow]) -> list[ConfigurationChange]:
    """Return the changes that delete a workflow: its goals first."""
    return [
        *(ConfigurationChange(goal, None) for goal in goals),
        ConfigurationChange(workflow, None),
    ]


def merge_workflow(
    before: WorkflowRow | None,
    workflow_id: str,
    name: str | None,
    goal_logic: GoalLogic | None,
    is_active: bool | None,
) -> WorkflowRow:
    """Return the workflow with the given values; None keeps the current one. A new workflow is
    inactive, has the logic `any` and is named after its id."""
    base = before or WorkflowRow(workflow_id, workflow_id, "any", False)
    return replace(
        base,
        name=base.name if name is None else name,
        goal_logic=base.goal_logic if goal_logic is None else goal_logic,
        is_active=base.is_active if is_active is None else is_active,
    )


def settings_change(before: SettingsRow | None, patch: SettingsPatch) -> list[ConfigurationChange]:
    """Return the change to the given settings."""
    base = before or SettingsRow()
    after = replace(base, **patch.given)
    return [ConfigurationChange(before, after)] if after != base else []


def activation(
    current: CurrentConfiguration,
    change: ConfigurationChange,
    *,
    exit_missed: bool,
    overdue: Overdue | None,
    now_us: int,
) -> ConfigurationChange:
    """Return the change that activates a workflow, with the number of its missed events (E19).
    Raises OverdueSteps if it has overdue steps, and `overdue` is not given (X7)."""
    row = change.row
    if not isinstance(row, WorkflowRow):
        raise TypeError("only a workflow can be activated")
    missed = current.missed.get(row.id, 0)
    count = current.overdue.get(row.id, 0)
    if count and overdue is None:
        raise OverdueSteps(row.id, count)
    after = replace(
        row,
        exits_missed=exit_missed,
        overdue=overdue if count else None,
        activated_at=now_us if count else None,
    )
    return replace(change, after=after, missed=missed)


def with_effective_from(row: GoalRow, now_us: int) -> GoalRow:
    """Return the goal of an active workflow, effective from now on if it is active for the
    first time and nothing else was set (E3)."""
    if row.effective_from is None and row.is_active:
        return replace(row, effective_from=now_us)
    return row


def free_positions(rows: list[GoalRow]) -> list[int]:
    """Return the positions that these goals of a workflow leave free."""
    taken = {row.position for row in rows}
    return [position for position in range(MAX_GOALS) if position not in taken]
