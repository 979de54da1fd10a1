"""Compiles a definition to its plan."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

from goald.domain.actions.job import host_connection
from goald.domain.definitions.conditions import AttributeTest, TagTest, tests_of
from goald.domain.definitions.plan import (
    Act,
    Branch,
    End,
    Instruction,
    Plan,
    Stop,
    WaitFor,
    WaitForEvent,
    WaitUntil,
)
from goald.domain.definitions.steps import (
    ActionStep,
    ClockWait,
    ConditionStep,
    DurationWait,
    EventPattern,
    EventWait,
    ExitStep,
    Step,
    WorkflowDefinition,
    branches_of,
    walk_steps,
)


def compile_plan(definition: WorkflowDefinition) -> Plan:
    """Return the plan of a valid definition."""
    patterns = list(_patterns_of(definition))
    tests = list(_tests_of(definition, patterns))
    changed = (name for pattern in patterns for name in pattern.changed)
    tested = (test.attribute for test in tests if isinstance(test, AttributeTest))
    return Plan(
        _instructions(definition),
        definition.trigger,
        definition.reentry,
        definition.timezone,
        tuple(dict.fromkeys(test for test in tests if isinstance(test, TagTest))),
        tuple(dict.fromkeys((*tested, *changed))),
    )


def _patterns_of(definition: WorkflowDefinition) -> Iterator[EventPattern]:
    if definition.trigger is not None:
        yield definition.trigger
    for step in walk_steps(definition.steps):
        if isinstance(step, EventWait):
            yield step.pattern


def _tests_of(
    definition: WorkflowDefinition, patterns: Sequence[EventPattern]
) -> Iterator[TagTest | AttributeTest]:
    for pattern in patterns:
        yield from tests_of(pattern.condition)
    for step in walk_steps(definition.steps):
        if isinstance(step, ConditionStep):
            yield from tests_of(step.condition)


def _instructions(definition: WorkflowDefinition) -> tuple[Instruction, ...]:
    """Compile the steps from the last to the first, so that the targets of a step are known."""
    steps = list(walk_steps(definition.steps))
    positions = {step.id: position for position, step in enumerate(steps)}
    targets = targets_of(definition)
    longest = {len(steps): 0}
    reversed_: list[Instruction] = [End()]
    for step in reversed(steps):
        then, otherwise = targets[step.id]
        count = 1 if isinstance(step, ExitStep) else 1 + max(longest[then], longest[otherwise])
        longest[positions[step.id]] = count
        reversed_.append(_instruction(step, count, then, otherwise, definition.max_lateness))
    return tuple(reversed(reversed_))


def targets_of(definition: WorkflowDefinition) -> dict[str, tuple[int, int]]:
    """Return the two positions at which each step continues, in the order of `walk_steps`: after
    its condition held or its event came, and otherwise."""
    steps = list(walk_steps(definition.steps))
    positions = {step.id: position for position, step in enumerate(steps)}
    return dict(_targets(definition.steps, positions, len(steps)))


def _targets(
    steps: Sequence[Step], positions: Mapping[str, int], after: int
) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield where each of these steps, and of the steps in their branches, continues: after its
    condition held or its event came, and otherwise. Both are the same for a step without branches.
    `after`: where the last of the steps continues."""
    for step, following in zip_longest(steps, steps[1:]):
        following_at = after if following is None else positions[following.id]
        branches = branches_of(step)
        first, second = (positions[each[0].id] if each else following_at for each in branches)
        yield step.id, (first, second)
        for branch in branches:
            yield from _targets(branch, positions, following_at)


def _instruction(
    step: Step, longest: int, then: int, otherwise: int, max_lateness: int | None
) -> Instruction:
    match step:
        case ActionStep():
            lateness = max_lateness if step.max_lateness is None else step.max_lateness
            return Act(
                step.id, longest, then, step.action,
                step.connection or host_connection(step.action, step.config), step.config,
                step.errors,
                lateness,
            )  # fmt: skip
        case ConditionStep():
            return Branch(step.id, longest, then, otherwise, step.condition)
        case DurationWait():
            return WaitFor(step.id, longest, then, step.duration)
        case ClockWait():
            weekdays = sum(1 << day for day in step.weekdays)
            return WaitUntil(step.id, longest, then, step.second, weekdays, step.day, step.timezone)
        case EventWait():
            return WaitForEvent(step.id, longest, then, otherwise, step.pattern, step.timeout)
        case ExitStep():
            return Stop(step.id, longest)
