"""What an editor's single change of a workflow, a goal or an entity changes.

Pure, as `differences` is for a file; both make the same rows of the same wish.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from goald.domain.configuration.catalog import Catalog
from goald.domain.configuration.criteria import Criterion, read_criteria
from goald.domain.configuration.goals import MAX_GOALS, TOO_MANY_GOALS, GoalLogic, GoalType
from goald.domain.configuration.workflows import (
    ConfigurationChange,
    EntityRow,
    GoalRow,
    HeldConfiguration,
    WorkflowRow,
)
from goald.domain.errors import (
    AlreadyExists,
    InvalidConfiguration,
    NotFound,
    StaleVersion,
    VersionConflict,
)


@dataclass(frozen=True, slots=True)
class Expected:
    """Which version the editor has seen, as far as they say."""

    versions: frozenset[int] | None = None
    """Any of these (`If-Match`). None: whichever; empty: none that there can be."""
    existing: bool = False
    """Whichever, but it must be there (`If-Match: *`)."""
    version: int | None = None
    """This one (`version` in the body)."""

    def require(self, row: WorkflowRow | GoalRow | None) -> None:
        """Raises StaleVersion or VersionConflict where the row is not as expected."""
        held = row.stamp.version if row is not None and row.stamp is not None else None
        now = "it is not there" if held is None else f"its version is {held}"
        if (self.existing and row is None) or (
            self.versions is not None and held not in self.versions
        ):
            raise StaleVersion(f"It has changed: {now}")
        if self.version is not None and held != self.version:
            raise VersionConflict(f"It has changed since version {self.version}: {now}")


@dataclass(frozen=True, slots=True)
class NewGoal:
    """A goal that is to be added. `effective_from`: microseconds."""

    goal_type: GoalType
    criteria: Mapping[str, Criterion]
    key: str | None = None
    is_active: bool = True
    effective_from: int | None = None


@dataclass(frozen=True, slots=True)
class GoalPatch:
    """What is to change of a goal; None leaves it as it is."""

    goal_type: GoalType | None = None
    criteria: Any = None
    """As given: of which type they must be is known when the goal is."""
    is_active: bool | None = None
    effective_from: int | None = None
    key: str | None = None
    is_without_key: bool = False


def put_workflow(
    held: HeldConfiguration,
    workflow_id: str,
    name: str | None,
    goal_logic: GoalLogic | None,
    expected: Expected,
) -> list[ConfigurationChange]:
    """Make a draft, or change what is given of one that is there."""
    before = held.workflows.get(workflow_id)
    expected.require(before)
    return changed(before, workflow_row(before, workflow_id, name, goal_logic, None))


def set_active(
    held: HeldConfiguration,
    workflow_id: str,
    is_active: bool,
    expected: Expected,
    catalog: Catalog,
    now_us: int,
) -> list[ConfigurationChange]:
    """Activate or deactivate. Raises InvalidConfiguration where R13 forbids it."""
    before = workflow_of(held, workflow_id)
    expected.require(before)
    found = changed(before, replace(before, is_active=is_active))
    if found and is_active:
        goals = held.goals.get(workflow_id, [])
        catalog.require_for_activation(goals)
        for goal in goals:
            found += changed(goal, effective(goal, now_us))
    return found


def add_goal(
    held: HeldConfiguration,
    workflow_id: str,
    goal: NewGoal,
    catalog: Catalog,
    now_us: int,
    new_id: Callable[[], UUID],
) -> list[ConfigurationChange]:
    """Add a goal: to an active workflow, active at once (E3)."""
    workflow = workflow_of(held, workflow_id)
    others = held.goals.get(workflow_id, [])
    free = free_positions(others)
    row = GoalRow(
        new_id(), workflow_id, goal.key, free[0] if free else MAX_GOALS, goal.goal_type,
        goal.criteria, goal.is_active, goal.effective_from,
    )  # fmt: skip
    _require_alone(row, others)
    if not free:
        raise InvalidConfiguration(TOO_MANY_GOALS)
    catalog.require(row)
    return changed(None, effective(row, now_us) if workflow.is_active else row)


def change_goal(
    held: HeldConfiguration,
    workflow_id: str,
    goal_id: UUID,
    patch: GoalPatch,
    expected: Expected,
    catalog: Catalog,
    now_us: int,
) -> list[ConfigurationChange]:
    """Change what is given of a goal. Another type needs criteria of its own. Criteria are
    replaced, never merged."""
    workflow, before = goal_of(held, workflow_id, goal_id)
    expected.require(before)
    after = _patched(before, patch)
    _require_alone(after, [row for row in held.goals[workflow_id] if row.id != goal_id])
    refers = (after.goal_type, after.criteria) != (before.goal_type, before.criteria)
    if refers or (after.is_active and not before.is_active):
        catalog.require(after)
    return changed(before, effective(after, now_us) if workflow.is_active else after)


def delete_goal(
    held: HeldConfiguration, workflow_id: str, goal_id: UUID, expected: Expected
) -> list[ConfigurationChange]:
    """Delete a goal. It completes nobody by that (E8), and its achievements stay."""
    _, before = goal_of(held, workflow_id, goal_id)
    expected.require(before)
    return [ConfigurationChange(before, None)]


def put_entity(held: HeldConfiguration, row: EntityRow) -> list[ConfigurationChange]:
    """Make an entity of the catalog, or change its name."""
    return changed(held.catalog.get(row.kind, {}).get(row.id), row)


def delete_entity(held: HeldConfiguration, kind: str, entity_id: str) -> list[ConfigurationChange]:
    """Delete an entity. Goals that refer to it stay; their workflow cannot be activated
    until they do not."""
    return [ConfigurationChange(entity_of(held, kind, entity_id), None)]


# What is held ----------------------------------------------------------------------------


def workflow_of(held: HeldConfiguration, workflow_id: str) -> WorkflowRow:
    """Raises NotFound."""
    if workflow_id not in held.workflows:
        raise NotFound(f"There is no workflow {workflow_id}")
    return held.workflows[workflow_id]


def goal_of(
    held: HeldConfiguration, workflow_id: str, goal_id: UUID
) -> tuple[WorkflowRow, GoalRow]:
    """A goal and its workflow. Raises NotFound."""
    workflow = workflow_of(held, workflow_id)
    for row in held.goals.get(workflow_id, []):
        if row.id == goal_id:
            return workflow, row
    raise NotFound(f"The workflow {workflow_id} has no goal {goal_id}")


def entity_of(held: HeldConfiguration, kind: str, entity_id: str) -> EntityRow:
    """Raises NotFound."""
    row = held.catalog.get(kind, {}).get(entity_id)
    if row is None:
        raise NotFound(f"There is no {kind} {entity_id}")
    return row


# What files and editors have in common --------------------------------------------------


def changed(
    before: WorkflowRow | GoalRow | EntityRow | None, after: WorkflowRow | GoalRow | EntityRow
) -> list[ConfigurationChange]:
    """The difference, if it is one."""
    return [ConfigurationChange(before, after)] if before != after else []


def workflow_row(
    before: WorkflowRow | None,
    workflow_id: str,
    name: str | None,
    goal_logic: GoalLogic | None,
    is_active: bool | None,
) -> WorkflowRow:
    """A workflow with what is given, else as it was; a new one is a draft named by its id."""
    base = before or WorkflowRow(workflow_id, workflow_id, "any", False)
    return replace(
        base,
        name=base.name if name is None else name,
        goal_logic=base.goal_logic if goal_logic is None else goal_logic,
        is_active=base.is_active if is_active is None else is_active,
    )


def effective(row: GoalRow, now_us: int) -> GoalRow:
    """First active now, unless somebody set it or it was active before (E3)."""
    if row.effective_from is None and row.is_active:
        return replace(row, effective_from=now_us)
    return row


def free_positions(rows: list[GoalRow]) -> list[int]:
    """The places that another goal may have beside these."""
    taken = {row.position for row in rows}
    return [position for position in range(MAX_GOALS) if position not in taken]


def _patched(before: GoalRow, patch: GoalPatch) -> GoalRow:
    goal_type = patch.goal_type or before.goal_type
    criteria = before.criteria
    if patch.criteria is not None:
        criteria = read_criteria(goal_type, patch.criteria)
    elif goal_type != before.goal_type:
        raise InvalidConfiguration("Another goal_type needs criteria of its own")
    return replace(
        before,
        goal_type=goal_type,
        criteria=criteria,
        key=None if patch.is_without_key else patch.key or before.key,
        is_active=before.is_active if patch.is_active is None else patch.is_active,
        effective_from=before.effective_from
        if patch.effective_from is None
        else patch.effective_from,
    )


def _require_alone(row: GoalRow, others: list[GoalRow]) -> None:
    for other in others:
        if (other.goal_type, other.criteria) == (row.goal_type, row.criteria):
            raise AlreadyExists("The workflow has a goal of this type with these criteria already")
        if row.key is not None and other.key == row.key:
            raise AlreadyExists(f"The workflow has a goal with the key {row.key} already")
