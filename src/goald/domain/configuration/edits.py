"""Single edits of a workflow, a goal, a catalog entity or the settings, as changes of rows.

Pure functions: each takes the current configuration and returns the changes to write, an empty
list if nothing changes. `diff.diff_configuration` does the same for a file.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from goald.domain.configuration.catalog import Catalog
from goald.domain.configuration.criteria import Criterion, read_criteria
from goald.domain.configuration.goals import (
    HAS_STATE,
    MAX_GOALS,
    NO_STATE,
    TOO_MANY_GOALS,
    GoalLogic,
    GoalType,
)
from goald.domain.configuration.row_rules import (
    activation,
    change_if_different,
    free_positions,
    merge_workflow,
    settings_change,
    with_effective_from,
    workflow_deletion,
)
from goald.domain.configuration.workflows import (
    ConfigurationChange,
    CurrentConfiguration,
    DefinitionRow,
    EntityRow,
    GoalRow,
    Overdue,
    SettingsPatch,
    SettingsRow,
    WorkflowRow,
)
from goald.domain.errors import (
    AlreadyExists,
    InvalidConfiguration,
    NotFound,
    StaleVersion,
    VersionConflict,
    WorkflowInUse,
)

COUNTED_ENROLLMENTS: Final = 10_000
"""Active enrollments are counted up to this number."""


@dataclass(frozen=True, slots=True)
class ExpectedVersion:
    """The precondition of an edit. The default holds for any row, and for none."""

    versions: frozenset[int] | None = None
    """The version is one of these (`If-Match`). None: any version; empty: never met."""
    must_exist: bool = False
    """The row exists (`If-Match: *`)."""
    version: int | None = None
    """The version is this one (`version` in the body)."""

    def require(self, row: WorkflowRow | GoalRow | DefinitionRow | None) -> None:
        """Raise StaleVersion if `versions` or `must_exist` is not met, VersionConflict if
        `version` is not."""
        current = row.metadata.version if row is not None and row.metadata is not None else None
        now = "the object does not exist" if current is None else f"its version is {current}"
        if (self.must_exist and row is None) or (
            self.versions is not None and current not in self.versions
        ):
            raise StaleVersion(f"The version does not match: {now}")
        if self.version is not None and current != self.version:
            raise VersionConflict(f"The object has changed since version {self.version}: {now}")


@dataclass(frozen=True, slots=True)
class NewGoal:
    """A goal to add. `effective_from`: microseconds since the epoch."""

    goal_type: GoalType
    criteria: Mapping[str, Criterion]
    key: str | None = None
    is_active: bool = True
    effective_from: int | None = None
    check_on_enrollment: bool = False
    conversion_window: int | None = None


@dataclass(frozen=True, slots=True)
class GoalPatch:
    """The fields of a goal to change. None keeps the current value."""

    goal_type: GoalType | None = None
    criteria: Any = None
    """Not validated yet: the goal type may be the current one."""
    is_active: bool | None = None
    effective_from: int | None = None
    key: str | None = None
    clears_key: bool = False
    """Remove the key."""
    check_on_enrollment: bool | None = None
    conversion_window: int | None = None
    clears_window: bool = False
    """Remove the conversion window."""


def put_workflow(
    current: CurrentConfiguration,
    workflow_id: str,
    name: str | None,
    goal_logic: GoalLogic | None,
    expected: ExpectedVersion,
) -> list[ConfigurationChange]:
    """Create an inactive workflow, or change the given fields of an existing one."""
    before = current.workflows.get(workflow_id)
    expected.require(before)
    return change_if_different(before, merge_workflow(before, workflow_id, name, goal_logic, None))


def set_active(
    current: CurrentConfiguration,
    workflow_id: str,
    is_active: bool,
    expected: ExpectedVersion,
    catalog: Catalog,
    now_us: int,
    *,
    exit_missed: bool = False,
    overdue: Overdue | None = None,
) -> list[ConfigurationChange]:
    """Activate or deactivate a workflow. `exit_missed`: the activation exits the enrollments that
    met a goal meanwhile (E19). Raises InvalidConfiguration if a goal is invalid, OverdueSteps if
    `overdue` must be given (X7)."""
    before = workflow_of(current, workflow_id)
    expected.require(before)
    changes = change_if_different(before, replace(before, is_active=is_active))
    if changes and is_active:
        goals = current.goals.get(workflow_id, [])
        catalog.require_for_activation(goals)
        changes = [
            activation(current, changes[0], exit_missed=exit_missed, overdue=overdue, now_us=now_us)
        ]
        for goal in goals:
            changes += change_if_different(goal, with_effective_from(goal, now_us))
    return changes


def delete_workflow(
    current: CurrentConfiguration, workflow_id: str, expected: ExpectedVersion
) -> list[ConfigurationChange]:
    """Delete a workflow and its goals. Enrollments, achievements and statistics stay. Raises
    WorkflowInUse if the workflow has active enrollments, which `current` must count up to
    COUNTED_ENROLLMENTS."""
    before = workflow_of(current, workflow_id)
    expected.require(before)
    active = current.active_enrollments[workflow_id]
    if active:
        number = f"{active:,}" if active < COUNTED_ENROLLMENTS else f"{active:,} or more"
        plural = "" if active == 1 else "s"
        raise WorkflowInUse(
            f"The workflow {workflow_id} has {number} active enrollment{plural}. "
            f"{'Deactivate the workflow. ' if before.is_active else ''}End its enrollments or wait "
            "until they have ended, then delete it"
        )
    return workflow_deletion(before, current.goals.get(workflow_id, []))


def add_goal(
    current: CurrentConfiguration,
    workflow_id: str,
    goal: NewGoal,
    catalog: Catalog,
    now_us: int,
    new_id: Callable[[], UUID],
) -> list[ConfigurationChange]:
    """Add a goal to a workflow. Raises InvalidConfiguration for a fourth goal, for a reference that
    the catalog check refuses and for a type that cannot be checked on enrollment, AlreadyExists for
    a duplicate."""
    workflow = workflow_of(current, workflow_id)
    rows = current.goals.get(workflow_id, [])
    positions = free_positions(rows)
    row = GoalRow(
        new_id(), workflow_id, goal.key, positions[0] if positions else MAX_GOALS, goal.goal_type,
        goal.criteria, goal.is_active, goal.effective_from, goal.check_on_enrollment,
        goal.conversion_window,
    )  # fmt: skip
    _require_state(row)
    _require_unique(row, rows)
    if not positions:
        raise InvalidConfiguration(TOO_MANY_GOALS)
    catalog.require(row)
    return change_if_different(
        None, with_effective_from(row, now_us) if workflow.is_active else row
    )


def change_goal(
    current: CurrentConfiguration,
    workflow_id: str,
    goal_id: UUID,
    patch: GoalPatch,
    expected: ExpectedVersion,
    catalog: Catalog,
    now_us: int,
) -> list[ConfigurationChange]:
    """Change the given fields of a goal. New criteria replace the current ones; a new goal type
    requires new criteria."""
    workflow, before = goal_of(current, workflow_id, goal_id)
    expected.require(before)
    after = _patched(before, patch)
    _require_state(after)
    _require_unique(after, [row for row in current.goals[workflow_id] if row.id != goal_id])
    is_new_reference = (after.goal_type, after.criteria) != (before.goal_type, before.criteria)
    if is_new_reference or (after.is_active and not before.is_active):
        catalog.require(after)
    if workflow.is_active:
        after = with_effective_from(after, now_us)
    return change_if_different(before, after)


def delete_goal(
    current: CurrentConfiguration, workflow_id: str, goal_id: UUID, expected: ExpectedVersion
) -> list[ConfigurationChange]:
    """Delete a goal. Its achievements stay, and no enrollment completes because of it (E8)."""
    _, before = goal_of(current, workflow_id, goal_id)
    expected.require(before)
    return [ConfigurationChange(before, None)]


def put_settings(current: CurrentConfiguration, patch: SettingsPatch) -> list[ConfigurationChange]:
    """Change the given settings of the tenant."""
    return settings_change(current.settings, patch)


def settings_of(current: CurrentConfiguration) -> SettingsRow:
    """Return the settings of the tenant: the defaults if they were never changed."""
    return current.settings or SettingsRow()


def put_entity(current: CurrentConfiguration, row: EntityRow) -> list[ConfigurationChange]:
    """Create a catalog entity, or change its name."""
    return change_if_different(current.catalog.get(row.kind, {}).get(row.id), row)


def delete_entity(
    current: CurrentConfiguration, kind: str, entity_id: str
) -> list[ConfigurationChange]:
    """Delete a catalog entity. Goals that refer to it stay; their workflow cannot be activated
    while they do."""
    return [ConfigurationChange(entity_of(current, kind, entity_id), None)]


# Lookups ---------------------------------------------------------------------------------


def workflow_of(current: CurrentConfiguration, workflow_id: str) -> WorkflowRow:
    """Return a workflow. Raises NotFound."""
    if workflow_id not in current.workflows:
        raise NotFound(f"There is no workflow {workflow_id}")
    return current.workflows[workflow_id]


def goal_of(
    current: CurrentConfiguration, workflow_id: str, goal_id: UUID
) -> tuple[WorkflowRow, GoalRow]:
    """Return a goal and its workflow. Raises NotFound."""
    workflow = workflow_of(current, workflow_id)
    for row in current.goals.get(workflow_id, []):
        if row.id == goal_id:
            return workflow, row
    raise NotFound(f"The workflow {workflow_id} has no goal {goal_id}")


def entity_of(current: CurrentConfiguration, kind: str, entity_id: str) -> EntityRow:
    """Return a catalog entity. Raises NotFound."""
    row = current.catalog.get(kind, {}).get(entity_id)
    if row is None:
        raise NotFound(f"There is no {kind} {entity_id}")
    return row


def _patched(before: GoalRow, patch: GoalPatch) -> GoalRow:
    goal_type = patch.goal_type or before.goal_type
    criteria = before.criteria
    if patch.criteria is not None:
        criteria = read_criteria(goal_type, patch.criteria)
    elif goal_type != before.goal_type:
        raise InvalidConfiguration("A new goal_type requires new criteria")
    return replace(
        before,
        goal_type=goal_type,
        criteria=criteria,
        key=None if patch.clears_key else patch.key or before.key,
        is_active=before.is_active if patch.is_active is None else patch.is_active,
        effective_from=before.effective_from
        if patch.effective_from is None
        else patch.effective_from,
        check_on_enrollment=before.check_on_enrollment
        if patch.check_on_enrollment is None
        else patch.check_on_enrollment,
        conversion_window=None
        if patch.clears_window
        else patch.conversion_window or before.conversion_window,
    )


def _require_state(row: GoalRow) -> None:
    if row.check_on_enrollment and row.goal_type not in HAS_STATE:
        raise InvalidConfiguration(NO_STATE)


def _require_unique(row: GoalRow, others: list[GoalRow]) -> None:
    for other in others:
        if (other.goal_type, other.criteria) == (row.goal_type, row.criteria):
            raise AlreadyExists("The workflow already has a goal of this type with these criteria")
        if row.key is not None and other.key == row.key:
            raise AlreadyExists(f"The workflow already has a goal with the key {row.key}")
