"""A plan does what its definition says: for every definition and all decisions on the way, the
execution of the plan performs the steps that the nested document lists, in that order. Versions of
definitions are compared with a walk over the document."""

from collections.abc import Iterator
from random import Random
from typing import Any

import msgpack
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.reference.executions.plans import Plan

from goald.domain.definitions.compiler import compile_plan
from goald.domain.definitions.differences import compare_definitions, continuations
from goald.domain.definitions.encoder import encode_plan
from goald.domain.definitions.readers.definition import read_definition
from goald.domain.definitions.steps import WorkflowDefinition

END, ACTION, CONDITION, WAIT_FOR, WAIT_UNTIL, WAIT_FOR_EVENT, EXIT = range(7)
EVENT = {"on": "form_submitted", "criteria": {"form_id": "f"}}

Steps = list[dict[str, Any]]


class Execution:
    """The decisions of one execution: whether the condition of a step holds, or its event comes in
    time. The same step gets the same decision from document and plan."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def decides(self, step_id: str) -> bool:
        return Random(f"{self._seed}/{step_id}").random() < 0.5


def walk_document(steps: Steps, execution: Execution) -> Iterator[str]:
    """Yield the ids of the steps of an execution, by the nested document. Raises ExitReached
    at an exit."""
    for step in steps:
        yield step["id"]
        if "exit" in step:
            raise ExitReached
        has_timeout = "wait" in step and "timeout" in step["wait"]
        if "condition" in step or "wait" in step:
            holds = execution.decides(step["id"]) or ("wait" in step and not has_timeout)
            yield from walk_document(step.get("then" if holds else "else", []), execution)


class ExitReached(Exception):
    pass


def path_of_document(steps: Steps, execution: Execution) -> list[str]:
    path = []
    try:
        for step_id in walk_document(steps, execution):
            path.append(step_id)
    except ExitReached:
        pass
    return path


def path_of_plan(plan: list[Any], execution: Execution) -> tuple[list[str], list[int]]:
    """The steps of an execution by the encoded plan, and the number of steps left at each."""
    path, counts, position = [], [], 0
    instructions = plan[6]
    while instructions[position][0] != END:
        code, step_id, longest, *operands = instructions[position]
        path.append(step_id)
        counts.append(longest)
        if code == EXIT:
            break
        position = operands[0]
        if code in (CONDITION, WAIT_FOR_EVENT):
            has_no_end = code == WAIT_FOR_EVENT and operands[3] is None
            holds = has_no_end or execution.decides(step_id)
            position = operands[0 if holds else 1]
    return path, counts


def build(random: Random, ids: Iterator[str], depth: int) -> Steps:
    """Build a list of steps without steps that cannot be reached."""
    steps: Steps = []
    for _ in range(random.randint(1, 4)):
        step: dict[str, Any] = {"id": next(ids)}
        kind = random.choice(["action", "for", "until", "condition", "event", "exit"])
        branches = {
            name: build(random, ids, depth + 1)
            for name in ("then", "else")
            if depth < 3 and random.random() < 0.6
        }
        match kind:
            case "action":
                step["action"] = "noop"
            case "for":
                step["wait"] = {"for": "1h"}
            case "until":
                step["wait"] = {"until": {"time": "09:00"}}
            case "condition":
                step |= {"condition": {"has_tag": "x"}} | (branches or {"else": [noop(next(ids))]})
            case "event":
                step["wait"] = {"for_event": EVENT}
                if random.random() < 0.7:
                    step["wait"]["timeout"] = "1d"
                else:
                    branches.pop("else", None)
                step |= branches
            case _:
                step["exit"] = True
        steps.append(step)
        if always_exits([step]):
            break
    return steps


def always_exits(steps: Steps) -> bool:
    """Whether no path falls out of these steps, by trying all of them."""
    for step in steps:
        if "exit" in step:
            return True
        then, otherwise = step.get("then", []), step.get("else", [])
        has_no_end = (
            "wait" in step and "for_event" in step["wait"] and "timeout" not in step["wait"]
        )
        if always_exits(then) and (has_no_end or always_exits(otherwise)):
            return True
    return False


def noop(step_id: str) -> dict[str, Any]:
    return {"id": step_id, "action": "noop"}


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    random = Random(draw(st.integers(0, 2**32)))
    ids = (f"s{number}" for number in range(10_000))
    while True:
        steps = build(random, ids, 1)
        if len(ids_of(steps)) <= 100:
            return {"steps": steps}


def ids_of(steps: Steps) -> list[str]:
    return [
        step_id
        for step in steps
        for step_id in (
            step["id"],
            *ids_of(step.get("then", [])),
            *ids_of(step.get("else", [])),
        )
    ]


def definition_of(document: dict[str, Any]) -> WorkflowDefinition:
    read = read_definition(document)
    assert read.faults == ()
    assert read.definition is not None
    return read.definition


@settings(max_examples=200, deadline=None)
@given(document=documents(), seeds=st.lists(st.integers(), min_size=8, max_size=8))
def test_a_plan_takes_the_path_of_its_document(document: dict[str, Any], seeds: list[int]) -> None:
    plan = msgpack.unpackb(encode_plan(compile_plan(definition_of(document))))
    for seed in seeds:
        execution = Execution(seed)
        path, counts = path_of_plan(plan, execution)
        assert path == path_of_document(document["steps"], execution)
        # `longest` never promises fewer steps than are left, and falls with each step.
        assert all(count >= len(path) - index for index, count in enumerate(counts))
        assert counts == sorted(counts, reverse=True)


@settings(max_examples=100, deadline=None)
@given(document=documents())
def test_a_plan_is_in_the_order_of_its_document_and_has_no_loop(document: dict[str, Any]) -> None:
    instructions = msgpack.unpackb(encode_plan(compile_plan(definition_of(document))))[6]
    assert [each[1] for each in instructions[:-1]] == ids_of(document["steps"])
    longest = {len(instructions) - 1: 0}
    for position in range(len(instructions) - 2, -1, -1):
        code, _, stated, *operands = instructions[position]
        targets = (
            [] if code == EXIT else operands[: 2 if code in (CONDITION, WAIT_FOR_EVENT) else 1]
        )
        assert all(target > position for target in targets)
        longest[position] = 1 + max((longest[target] for target in targets), default=0)
        assert stated == longest[position]


@settings(max_examples=100, deadline=None)
@given(old=documents(), seed=st.integers(0, 2**32))
def test_a_version_without_some_steps_continues_after_them(old: dict[str, Any], seed: int) -> None:
    """Each step continues at itself or at a later step that was not removed, where the state
    machine moves an execution; a comparison lists each step once."""
    random = Random(seed)
    removed = {step_id for step_id in ids_of(old["steps"]) if random.random() < 0.3}
    new = {"steps": without(old["steps"], removed) or [noop("replacement")]}
    before, after = definition_of(old), definition_of(new)
    order = {step_id: position for position, step_id in enumerate(ids_of(old["steps"]))}
    kept = set(ids_of(new["steps"]))
    old_plan, new_plan = (
        Plan(msgpack.unpackb(encode_plan(compile_plan(each)))) for each in (before, after)
    )
    for step_id, target in continuations(before, after).items():
        assert new_plan.step_id(old_plan.moved(order[step_id], new_plan)) == (target or "")
        if step_id in kept:
            assert target == step_id
        elif target is not None:
            assert target in kept
            assert order[target] > order[step_id]
    listed = [each.step_id for each in compare_definitions(before, after)]
    assert sorted(listed) == sorted(set(order) | kept)
    assert all(
        each.change in ("kept", "changed", "added")
        for each in compare_definitions(before, after)
        if each.step_id in kept
    )


def without(steps: Steps, removed: set[str]) -> Steps:
    """Remove steps with their branches, so that the others are a valid definition."""
    kept: Steps = []
    for step in steps:
        if step["id"] in removed:
            continue
        copy = {
            name: without(value, removed) if name in ("then", "else") else value
            for name, value in step.items()
        }
        if "condition" in copy and not copy.get("then") and not copy.get("else"):
            copy["else"] = [noop(f"{step['id']}-else")]
        kept.append(copy)
        if always_exits([copy]):
            break
    return kept


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
field_names = st.sampled_from(
    ["steps", "id", "action", "with", "wait", "for", "until", "for_event", "condition", "and", "or",
     "not", "has_tag", "attribute", "op", "value", "then", "else", "exit", "trigger", "on",
     "criteria", "reentry", "timezone", "retry", "url", "body", "attributes"]
)  # fmt: skip
hostile = st.recursive(
    json_values | st.sampled_from(["noop", "webhook", "eq", "2h", "form_submitted", "UTC", True]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(field_names, inner, max_size=5),
    max_leaves=15,
)


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(hostile, max_size=3), members=st.dictionaries(field_names, hostile, max_size=3)
)
def test_any_document_is_read_or_has_faults(steps: list[Any], members: dict[str, Any]) -> None:
    document = {**members, "steps": steps}
    read = read_definition(document)
    assert (read.definition is None) == bool(read.faults)
    for fault in read.faults:
        assert fault.text
        assert str(fault)
    if read.definition is not None:
        assert encode_plan(compile_plan(read.definition))
