"""What must change to make a tenant's configuration as wanted.

Pure: a difference says what is before and after, and whoever keeps the rows carries it
out, in the order given.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from uuid import UUID

from goald.domain.configuration.catalog import Catalog, CatalogCheck, catalog_after
from goald.domain.configuration.criteria import references
from goald.domain.configuration.desired import DesiredConfiguration, Goal, Workflow, place
from goald.domain.configuration.edits import changed, effective, free_positions, workflow_row
from goald.domain.configuration.goals import MAX_GOALS, TOO_MANY_GOALS
from goald.domain.configuration.workflows import (
    ConfigurationChange,
    EntityRow,
    GoalRow,
    HeldConfiguration,
    Scope,
)
from goald.domain.errors import InvalidConfiguration, InvalidFile


def differences(
    wanted: DesiredConfiguration,
    held: HeldConfiguration,
    *,
    prune: bool,
    now_us: int,
    new_id: Callable[[], UUID],
    check: CatalogCheck = "known",
) -> list[ConfigurationChange]:
    """What makes `held` equal to `wanted`; nothing where it is.

    Goals are matched by key, else by type and criteria. Nothing is deleted unless `prune`:
    then goals and entities that the file's sections do not name are, and workflows that it
    does not name lose their goals and are deactivated. Raises InvalidFile, naming the
    place, for a fourth goal or a reference to what is not in the catalog.
    """
    catalog = list(_catalog(wanted, held, prune=prune))
    context = _Context(held, catalog_after(held, catalog, check), prune, now_us, new_id)
    found = [one for one in catalog if one.after is not None]
    for index, workflow in enumerate(wanted.workflows):
        found += _workflow(workflow, ("workflows", index), context)
    if prune:
        found += _unnamed({workflow.id for workflow in wanted.workflows}, held)
    return found + [one for one in catalog if one.after is None]


def scope_of(wanted: DesiredConfiguration, *, prune: bool) -> Scope:
    """What must be held for `differences` to be right."""
    entities = {(kind, one.id) for kind, named in wanted.catalog.items() for one in named}
    for workflow in wanted.workflows:
        for goal in workflow.goals or []:
            found = references(goal.goal_type, goal.criteria.as_set())
            entities |= {(kind, entity) for _, kind, entity in found}
    return Scope(
        workflows=None if prune else {workflow.id for workflow in wanted.workflows},
        entities=entities,
        kinds=set(wanted.catalog) if prune else (),
    )


@dataclass(frozen=True, slots=True)
class _Context:
    held: HeldConfiguration
    catalog: Catalog
    """Once its changes are made."""
    prune: bool
    now_us: int
    new_id: Callable[[], UUID]


def _catalog(
    wanted: DesiredConfiguration, held: HeldConfiguration, *, prune: bool
) -> Iterator[ConfigurationChange]:
    for kind, entities in wanted.catalog.items():
        before = held.catalog.get(kind, {})
        for entity in entities:
            row = EntityRow(kind, entity.id, entity.name)
            if before.get(entity.id) != row:
                yield ConfigurationChange(before.get(entity.id), row)
        if prune:
            named = {entity.id for entity in entities}
            yield from (
                ConfigurationChange(row, None) for row in before.values() if row.id not in named
            )


def _unnamed(named: set[str], held: HeldConfiguration) -> Iterator[ConfigurationChange]:
    for row in held.workflows.values():
        if row.id not in named:
            if row.is_active:
                yield ConfigurationChange(row, replace(row, is_active=False))
            yield from (ConfigurationChange(goal, None) for goal in held.goals.get(row.id, []))


def _workflow(
    workflow: Workflow, at: tuple[str | int, ...], context: _Context
) -> list[ConfigurationChange]:
    before = context.held.workflows.get(workflow.id)
    after = workflow_row(before, workflow.id, workflow.name, workflow.goal_logic, workflow.active)
    held = context.held.goals.get(workflow.id, [])
    wanted = workflow.goals or []
    matches = _match(wanted, held)
    kept = [row for row in matches if row is not None]
    matched = {row.id for row in kept}
    others = [row for row in held if row.id not in matched]
    dropped = others if context.prune and workflow.goals is not None else []
    left = [] if dropped else others
    if len(wanted) + len(left) > MAX_GOALS:
        raise InvalidFile(f"{place((*at, 'goals'))}: {TOO_MANY_GOALS}")

    free = iter(free_positions(left + kept))
    pairs: list[tuple[GoalRow | None, GoalRow]] = [(row, row) for row in left]
    for index, (goal, row) in enumerate(zip(wanted, matches, strict=True)):
        made = _wanted_goal(goal, row or _new_goal(goal, workflow.id, next(free), context))
        for name, kind in context.catalog.missing(made):
            where = place((*at, "goals", index, "criteria", name))
            raise InvalidFile(f"{where}: Referenced {kind} does not exist")
        pairs.append((row, made))
    if after.is_active:
        if before is None or not before.is_active:
            _require_for_activation(left, at, context)
        pairs = [(old, effective(new, context.now_us)) for old, new in pairs]

    changes = changed(before, after)
    changes += [ConfigurationChange(row, None) for row in dropped]
    changes += [
        ConfigurationChange(old, new) for old, new in pairs if old is not None and old != new
    ]
    return changes + [ConfigurationChange(None, new) for old, new in pairs if old is None]


def _match(wanted: list[Goal], held: list[GoalRow]) -> list[GoalRow | None]:
    """The row of each wanted goal. By key first, for all; then, of the rows whose key no
    wanted goal has, by type and criteria."""
    by_key = {row.key: row for row in held if row.key is not None}
    matches = [by_key.get(goal.key) if goal.key is not None else None for goal in wanted]
    keys = {goal.key for goal in wanted if goal.key is not None}
    rest = [row for row in held if row.key not in keys]
    for index, goal in enumerate(wanted):
        if matches[index] is None:
            criteria = goal.criteria.as_set()
            for row in rest:
                if row.goal_type == goal.goal_type and row.criteria == criteria:
                    matches[index] = row
                    rest.remove(row)
                    break
    return matches


def _new_goal(goal: Goal, workflow_id: str, position: int, context: _Context) -> GoalRow:
    criteria = goal.criteria.as_set()
    return GoalRow(
        context.new_id(), workflow_id, goal.key, position, goal.goal_type, criteria, True, None
    )


def _wanted_goal(goal: Goal, base: GoalRow) -> GoalRow:
    return replace(
        base,
        key=goal.key if goal.key is not None else base.key,
        goal_type=goal.goal_type,
        criteria=goal.criteria.as_set(),
        effective_from=goal.effective_from
        if goal.effective_from is not None
        else base.effective_from,
    )


def _require_for_activation(
    rows: Iterable[GoalRow], at: tuple[str | int, ...], context: _Context
) -> None:
    """What is held and not in the file is checked again when its workflow is activated (R13)."""
    try:
        context.catalog.require_for_activation(rows)
    except InvalidConfiguration as error:
        raise InvalidFile(f"{place(at)}: {error}") from None
