"""The differences between two versions of a definition, and where the executions of the old one
continue in the new one (X10)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from goald.domain.definitions.compiler import targets_of
from goald.domain.definitions.steps import (
    ConditionStep,
    EventWait,
    ExitStep,
    Step,
    WorkflowDefinition,
    branches_of,
    walk_steps,
)

StepChange: TypeAlias = Literal["added", "removed", "changed", "moved", "kept"]


@dataclass(frozen=True, slots=True)
class StepDifference:
    """How a step differs between two versions. `changed`: its own content, its branches not
    included, whether it moved or not. `moved`: it is in another branch, or in another order among
    the steps that both versions have."""

    step_id: str
    change: StepChange
    continues_at: str | None
    """The step of the new version at which an execution that is at this step continues; None if
    it is completed, and for an added step."""


def compare_definitions(
    old: WorkflowDefinition, new: WorkflowDefinition
) -> tuple[StepDifference, ...]:
    """Return how each step differs: those of the new version in its order, then the removed ones in
    the order of the old version."""
    before = {step.id: step for step in walk_steps(old.steps)}
    after = {step.id: step for step in walk_steps(new.steps)}
    targets = continuations(old, new)
    moved = _moved(old.steps, new.steps)
    return tuple(
        StepDifference(step_id, "added", None)
        if step_id not in before
        else StepDifference(
            step_id, _change(before[step_id], step, is_moved=step_id in moved), step_id
        )
        for step_id, step in after.items()
    ) + tuple(
        StepDifference(step_id, "removed", targets[step_id])
        for step_id in before
        if step_id not in after
    )


def continuations(old: WorkflowDefinition, new: WorkflowDefinition) -> dict[str, str | None]:
    """Return, for each step of the old version, the step of the new one at which an execution that
    is at the step continues: the same step; if it was removed, the next step after it that was
    not. If there is no such step, it is None, and the execution is completed. The branches of a
    removed step are not entered, because nothing says which of them an execution would take;
    unless one of them leaves the workflow: then it is the other one."""
    surviving = {step.id for step in walk_steps(new.steps)}
    found = _followers(old)
    return {step_id: _first_surviving(step_id, found, surviving) for step_id in found}


def _followers(definition: WorkflowDefinition) -> dict[str, str | None]:
    """Return for each step the first step that all paths from it reach which do not leave the
    workflow; None at the end. The state machine moves executions by the same rule."""
    steps = list(walk_steps(definition.steps))
    targets = targets_of(definition)
    following: dict[int, int | None] = {len(steps): None}
    for position, step in reversed(list(enumerate(steps))):
        is_exit = isinstance(step, ExitStep)
        following[position] = None if is_exit else _join(following, *targets[step.id])
    ids = [*(step.id for step in steps), None]
    after = ((step.id, following[position]) for position, step in enumerate(steps))
    return {step_id: None if at is None else ids[at] for step_id, at in after}


def _join(following: Mapping[int, int | None], first: int | None, second: int | None) -> int | None:
    """Return the first position that both paths reach. None is a path that leaves the workflow."""
    while first is not None and second is not None and first != second:
        if first < second:
            first = following[first]
        else:
            second = following[second]
    return second if first is None else first


def _first_surviving(
    step_id: str | None, followers: Mapping[str, str | None], surviving: set[str]
) -> str | None:
    while step_id is not None and step_id not in surviving:
        step_id = followers[step_id]
    return step_id


def _change(before: Step, after: Step, *, is_moved: bool) -> StepChange:
    if _own(before) != _own(after):
        return "changed"
    return "moved" if is_moved else "kept"


def _own(step: Step) -> Step:
    """Return the step without its branches."""
    if isinstance(step, ConditionStep | EventWait):
        return replace(step, then=(), otherwise=())
    return step


_Place: TypeAlias = tuple[str, int] | None
"""The step whose branch a step is in, and which of the two; None at the top."""


def _moved(old: Sequence[Step], new: Sequence[Step]) -> set[str]:
    """Return the common steps that are in another branch, or in another order in their branch.
    As few as possible are taken for moved: those outside the longest run that kept its order."""
    before, after = dict(_places(old, None)), dict(_places(new, None))
    common = [step_id for step_id in before if step_id in after]
    moved = {step_id for step_id in common if before[step_id] != after[step_id]}
    stayed = [step_id for step_id in common if step_id not in moved]
    order = {step_id: position for position, step_id in enumerate(after)}
    for place in set(before.values()):
        siblings = [step_id for step_id in stayed if before[step_id] == place]
        in_order = _longest_ascending([order[step_id] for step_id in siblings])
        moved |= {step_id for step_id in siblings if order[step_id] not in in_order}
    return moved


def _places(steps: Sequence[Step], place: _Place) -> Iterator[tuple[str, _Place]]:
    for step in steps:
        yield step.id, place
        for which, branch in enumerate(branches_of(step)):
            yield from _places(branch, (step.id, which))


def _longest_ascending(numbers: Sequence[int]) -> set[int]:
    """Return the members of a longest ascending subsequence of different numbers."""
    best: list[list[int]] = []
    for number in numbers:
        shorter = [run for run in best if run[-1] < number]
        best.append([*_longest(shorter), number])
    return set(_longest(best))


def _longest(runs: Sequence[list[int]]) -> list[int]:
    longest: list[int] = []
    for run in runs:
        longest = run if len(run) > len(longest) else longest
    return longest
