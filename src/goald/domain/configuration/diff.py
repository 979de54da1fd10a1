"""The changes that make a tenant's current configuration equal to the desired one.

Pure functions. The changes are in the order in which they must be written.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from uuid import UUID

from goald.domain.configuration.catalog import Catalog, CatalogCheck, catalog_after
from goald.domain.configuration.criteria import references
from goald.domain.configuration.definition_edits import publish_content
from goald.domain.configuration.desired import (
    DesiredConfiguration,
    DesiredGoal,
    DesiredWorkflow,
)
from goald.domain.configuration.desired_reader import format_path
from goald.domain.configuration.goals import HAS_STATE, MAX_GOALS, TOO_MANY_GOALS
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
    ConfigurationScope,
    CurrentConfiguration,
    CurrentDefinition,
    DefinitionContent,
    EntityRow,
    GoalRow,
)
from goald.domain.errors import InvalidConfiguration, InvalidFile, OverdueSteps

_Path = tuple[str | int, ...]


def diff_configuration(
    desired: DesiredConfiguration,
    current: CurrentConfiguration,
    *,
    prune: bool,
    now_us: int,
    new_id: Callable[[], UUID],
    check: CatalogCheck = "known",
    definitions: Mapping[str, DefinitionContent] = MappingProxyType({}),
) -> list[ConfigurationChange]:
    """Return the changes that make `current` equal to `desired`; an empty list if it is.

    Goals are matched by key, otherwise by type and criteria. Without `prune` nothing is deleted.
    With `prune`, goals and catalog entities that a section of the file does not list are deleted.
    So are workflows that a section `workflows` does not list, unless they have active enrollments:
    those lose their goals and are deactivated, until a later run deletes them.

    `definitions`: those of the file, by workflow. They are published, in place of drafts.

    Raises InvalidFile, with the path, for a fourth goal and for a reference to a catalog entity
    that does not exist.
    """
    entities = list(_entity_changes(desired, current, prune=prune))
    context = _Context(current, catalog_after(current, entities, check), prune, now_us, new_id)
    changes = settings_change(current.settings, desired.settings.patch)
    changes += [change for change in entities if change.after is not None]
    for index, workflow in enumerate(desired.workflows):
        changes += _workflow_changes(workflow, ("workflows", index), context)
        if workflow.id in definitions:
            found = current.definitions.get(workflow.id, CurrentDefinition())
            changes += publish_content(found, workflow.id, definitions[workflow.id])
    if prune and desired.lists_workflows:
        changes += _prune_workflows({workflow.id for workflow in desired.workflows}, current)
    return changes + [change for change in entities if change.after is None]


def scope_for(desired: DesiredConfiguration, *, prune: bool) -> ConfigurationScope:
    """Return the part of the current configuration that `diff_configuration` needs."""
    entities = {(kind, entity.id) for kind, listed in desired.catalog.items() for entity in listed}
    for workflow in desired.workflows:
        for goal in workflow.goals or []:
            found = references(goal.goal_type, goal.criteria.to_dict())
            entities |= {(kind, entity) for _, kind, entity in found}
    listed = {workflow.id for workflow in desired.workflows}
    return ConfigurationScope(
        workflows=None if prune and desired.lists_workflows else listed,
        entities=entities,
        kinds=set(desired.catalog) if prune else (),
        settings=bool(desired.settings.patch.given),
        definitions=any(workflow.definition for workflow in desired.workflows),
        active_enrollments=1 if prune else 0,
        missed=any(workflow.active for workflow in desired.workflows),
    )


@dataclass(frozen=True, slots=True)
class _Context:
    current: CurrentConfiguration
    catalog: Catalog
    """The catalog after the changes."""
    prune: bool
    now_us: int
    new_id: Callable[[], UUID]


def _entity_changes(
    desired: DesiredConfiguration, current: CurrentConfiguration, *, prune: bool
) -> Iterator[ConfigurationChange]:
    for kind, entities in desired.catalog.items():
        before = current.catalog.get(kind, {})
        for entity in entities:
            row = EntityRow(kind, entity.id, entity.name)
            if before.get(entity.id) != row:
                yield ConfigurationChange(before.get(entity.id), row)
        if prune:
            listed = {entity.id for entity in entities}
            yield from (
                ConfigurationChange(row, None) for row in before.values() if row.id not in listed
            )


def _prune_workflows(
    listed: set[str], current: CurrentConfiguration
) -> Iterator[ConfigurationChange]:
    for row in current.workflows.values():
        if row.id in listed:
            continue
        goals = current.goals.get(row.id, [])
        if not current.active_enrollments[row.id]:
            yield from workflow_deletion(row, goals)
            continue
        if row.is_active:
            yield ConfigurationChange(row, replace(row, is_active=False))
        yield from (ConfigurationChange(goal, None) for goal in goals)


def _workflow_changes(
    workflow: DesiredWorkflow, path: _Path, context: _Context
) -> list[ConfigurationChange]:
    before = context.current.workflows.get(workflow.id)
    after = merge_workflow(before, workflow.id, workflow.name, workflow.goal_logic, workflow.active)
    current = context.current.goals.get(workflow.id, [])
    desired = workflow.goals or []
    matches = _match_goals(desired, current)
    kept = [row for row in matches if row is not None]
    kept_ids = {row.id for row in kept}
    unlisted = [row for row in current if row.id not in kept_ids]
    deleted = unlisted if context.prune and workflow.goals is not None else []
    untouched = [] if deleted else unlisted
    if len(desired) + len(untouched) > MAX_GOALS:
        raise InvalidFile(f"{format_path((*path, 'goals'))}: {TOO_MANY_GOALS}")

    positions = iter(free_positions(untouched + kept))
    pairs: list[tuple[GoalRow | None, GoalRow]] = [(row, row) for row in untouched]
    for index, (goal, row) in enumerate(zip(desired, matches, strict=True)):
        base = row or _new_goal(goal, workflow.id, next(positions), context)
        new = _merge_goal(goal, base)
        _require_references(new, (*path, "goals", index), context.catalog)
        pairs.append((row, new))
    activates = after.is_active and (before is None or not before.is_active)
    if after.is_active:
        if activates:
            _require_for_activation(untouched, path, context.catalog)
        pairs = [(old, with_effective_from(new, context.now_us)) for old, new in pairs]

    changes = change_if_different(before, after)
    if activates:
        exit_missed = bool(workflow.exit_missed)
        try:
            changes = [
                activation(
                    context.current, changes[0], exit_missed=exit_missed,
                    overdue=workflow.overdue, now_us=context.now_us,
                )
            ]  # fmt: skip
        except OverdueSteps as error:
            raise InvalidFile(f"{format_path(path)}: {error}") from error
    changes += [ConfigurationChange(row, None) for row in deleted]
    changes += [
        ConfigurationChange(old, new) for old, new in pairs if old is not None and old != new
    ]
    return changes + [ConfigurationChange(None, new) for old, new in pairs if old is None]


def _match_goals(desired: list[DesiredGoal], current: list[GoalRow]) -> list[GoalRow | None]:
    """Return the row of each desired goal. All goals are matched by key first, then by type and
    criteria among the rows whose key no desired goal has."""
    by_key = {row.key: row for row in current if row.key is not None}
    matches = [by_key.get(goal.key) if goal.key is not None else None for goal in desired]
    keys = {goal.key for goal in desired if goal.key is not None}
    candidates = [row for row in current if row.key not in keys]
    for index, goal in enumerate(desired):
        if matches[index] is None:
            criteria = goal.criteria.to_dict()
            for row in candidates:
                if row.goal_type == goal.goal_type and row.criteria == criteria:
                    matches[index] = row
                    candidates.remove(row)
                    break
    return matches


def _new_goal(goal: DesiredGoal, workflow_id: str, position: int, context: _Context) -> GoalRow:
    criteria = goal.criteria.to_dict()
    return GoalRow(
        context.new_id(), workflow_id, goal.key, position, goal.goal_type, criteria, True, None
    )


def _merge_goal(goal: DesiredGoal, base: GoalRow) -> GoalRow:
    return replace(
        base,
        key=goal.key if goal.key is not None else base.key,
        goal_type=goal.goal_type,
        criteria=goal.criteria.to_dict(),
        effective_from=goal.effective_from
        if goal.effective_from is not None
        else base.effective_from,
        check_on_enrollment=_checks_on_enrollment(goal, base),
        conversion_window=goal.conversion_window
        if "conversion_window" in goal.model_fields_set
        else base.conversion_window,
    )


def _checks_on_enrollment(goal: DesiredGoal, base: GoalRow) -> bool:
    """As the file says. If it does not, the value stays, unless the new type has no state."""
    if goal.checks_on_enrollment is not None:
        return goal.checks_on_enrollment
    return base.check_on_enrollment and goal.goal_type in HAS_STATE


def _require_references(row: GoalRow, path: _Path, catalog: Catalog) -> None:
    for name, kind in catalog.missing(row):
        where = format_path((*path, "criteria", name))
        raise InvalidFile(f"{where}: Referenced {kind} does not exist")


def _require_for_activation(rows: Iterable[GoalRow], path: _Path, catalog: Catalog) -> None:
    """Check the goals that the file does not list when their workflow is activated."""
    try:
        catalog.require_for_activation(rows)
    except InvalidConfiguration as error:
        raise InvalidFile(f"{format_path(path)}: {error}") from None
