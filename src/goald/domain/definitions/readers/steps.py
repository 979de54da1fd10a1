"""Reads the steps of a definition."""

from typing import Final, NamedTuple

from goald.domain.definitions.durations import SECOND_US
from goald.domain.definitions.faults import format_path
from goald.domain.definitions.readers.actions import (
    ACTIONS,
    ConfigReader,
    action_fault,
    read_config,
)
from goald.domain.definitions.readers.conditions import ConditionReader
from goald.domain.definitions.readers.fields import Field
from goald.domain.definitions.readers.patterns import read_pattern
from goald.domain.definitions.readers.waits import (
    read_clock_wait,
    read_duration_wait,
    wait_form,
)
from goald.domain.definitions.references import ConnectionReference, Reference
from goald.domain.definitions.steps import (
    MAX_DEPTH,
    MAX_STEPS,
    ON_EXHAUSTED,
    ON_REJECTED,
    ON_UNKNOWN,
    ActionStep,
    ConditionStep,
    ErrorPolicy,
    EventWait,
    ExitStep,
    Step,
)
from goald.domain.suggestions import nearest

MAX_RETRIES: Final = 10
MAX_BASE_DELAY_US: Final = 86_400 * SECOND_US
_KINDS: Final = ("action", "condition", "wait", "exit")
_ACTION_FIELDS: Final = (
    "id", "action", "with", "connection", "max_lateness", "retry", "on_exhausted", "on_rejected",
    "on_unknown",
)  # fmt: skip


class StepList(NamedTuple):
    """The steps of one list that have no faults."""

    steps: tuple[Step, ...] = ()
    exits: bool = False
    """Whether every path through the list comes to an exit."""


class StepReader:
    """Reads the steps of one definition."""

    def __init__(self, references: list[Reference], *, has_trigger: bool) -> None:
        self._references = references
        self._has_trigger = has_trigger
        self._places: dict[str, str] = {}
        """The place of each step, by its id."""
        self._count = 0

    def read_list(self, field: Field, depth: int = 1) -> StepList:
        """Read a list of steps and those in their branches."""
        if depth > MAX_DEPTH:
            field.fault(f"steps may be nested {MAX_DEPTH} deep")
            return StepList()
        steps: list[Step] = []
        exits = False
        for item in field.items():
            self._count += 1
            if self._count > MAX_STEPS:
                if self._count == MAX_STEPS + 1:
                    item.fault(f"a definition may have {MAX_STEPS} steps")
                break
            if exits:
                item.fault("cannot be reached: every path before it ends with an exit")
            read = self._read(item, depth)
            steps += read.steps
            exits = read.exits
        return StepList(tuple(steps), exits)

    def _read(self, field: Field, depth: int) -> StepList:
        """Read one step."""
        value = field.value
        kinds = [kind for kind in _KINDS if isinstance(value, dict) and value.get(kind) is not None]
        if len(kinds) != 1:
            field.fault(_kind_fault(field, kinds))
            return StepList()
        if kinds[0] == "action":
            return _single(self._action(field))
        if kinds[0] == "condition":
            return self._condition(field, depth)
        if kinds[0] == "wait":
            return self._wait(field, depth)
        members = field.members(("id", "exit"), ("id",)) or {}
        if members["exit"].value is not True:
            members["exit"].fault("must be true")
        return StepList((ExitStep(self._id(field, members)),), True)

    def _id(self, step: Field, members: dict[str, Field]) -> str:
        """Return the id of a step; an empty text if it has faults."""
        field = members.get("id")
        step_id = None if field is None else field.identifier()
        if field is None or step_id is None:
            return ""
        place = format_path(step.path)
        other = self._places.setdefault(step_id, place)
        if other != place:
            field.fault(f"{other} has the same id")
        return step_id

    def _action(self, field: Field) -> Step | None:
        members = field.members(_ACTION_FIELDS, ("id",)) or {}
        step_id = self._id(field, members)
        action = members["action"].text(128)
        policy = _error_policy(members)
        max_lateness = members["max_lateness"].duration() if "max_lateness" in members else None
        fault = None if action is None else action_fault(action)
        if fault is not None:
            members["action"].fault(fault)
        if action is None or fault is not None:
            return None
        reader = ConfigReader(self._references, has_trigger=self._has_trigger)
        config = read_config(action, members.get("with", field.at("with", {})), reader)
        connection = None
        if "connection" in members:
            connection = self._connection(members["connection"], action)
        return ActionStep(step_id, action, config, connection, policy, max_lateness)

    def _connection(self, field: Field, action: str) -> str | None:
        kind = ACTIONS.get(action)
        if kind is not None and not kind.has_connection:
            field.fault(f"{action} has no connection")
            return None
        name = field.identifier()
        if name is not None:
            self._references.append(ConnectionReference(name, field.path))
        return name

    def _condition(self, field: Field, depth: int) -> StepList:
        members = field.members(("id", "condition", "then", "else"), ("id",)) or {}
        step_id = self._id(field, members)
        condition = ConditionReader(self._references).read(members["condition"])
        then, otherwise = self._branches(members, depth)
        if not _has_steps(members, "then") and not _has_steps(members, "else"):
            field.fault("must have steps in then or else")
        exits = then.exits and otherwise.exits
        if condition is None:
            return StepList((), exits)
        return StepList((ConditionStep(step_id, condition, then.steps, otherwise.steps),), exits)

    def _branches(self, members: dict[str, Field], depth: int) -> tuple[StepList, StepList]:
        branches = (members.get("then"), members.get("else"))
        then, otherwise = (
            StepList() if each is None else self.read_list(each, depth + 1) for each in branches
        )
        return then, otherwise

    def _wait(self, field: Field, depth: int) -> StepList:
        form = wait_form(field.at("wait", field.value["wait"]))
        if form == "for_event":
            return self._event_wait(field, depth)
        known = ("id", "wait") if form is not None else ("id", "wait", "then", "else")
        members = field.members(known, ("id",)) or {}
        step_id = self._id(field, members)
        if form == "for":
            return _single(read_duration_wait(step_id, members["wait"]))
        if form == "until":
            return _single(read_clock_wait(step_id, members["wait"]))
        return StepList()

    def _event_wait(self, field: Field, depth: int) -> StepList:
        members = field.members(("id", "wait", "then", "else"), ("id",)) or {}
        step_id = self._id(field, members)
        wait = members["wait"].members(("for_event", "timeout")) or {}
        pattern = read_pattern(wait["for_event"], self._references)
        timeout = wait["timeout"].duration() if "timeout" in wait else None
        then, otherwise = self._branches(members, depth)
        if "timeout" not in wait and _has_steps(members, "else"):
            members["else"].fault("cannot be reached: the wait has no timeout")
        exits = then.exits and (otherwise.exits or "timeout" not in wait)
        if pattern is None:
            return StepList((), exits)
        step = EventWait(step_id, pattern, timeout, then.steps, otherwise.steps)
        return StepList((step,), exits)


def _single(step: Step | None) -> StepList:
    return StepList() if step is None else StepList((step,))


def _kind_fault(field: Field, kinds: list[str]) -> str:
    if not isinstance(field.value, dict):
        return "must be a map"
    if kinds:
        return f"must have one of {', '.join(_KINDS)}, not both {kinds[0]} and {kinds[1]}"
    near = [nearest(str(name), _KINDS) for name in field.value]
    hint = next((f". Did you mean {name}?" for name in near if name is not None), "")
    return f"must have one of {', '.join(_KINDS)}{hint}"


def _has_steps(members: dict[str, Field], branch: str) -> bool:
    return branch in members and members[branch].value != []


def _error_policy(members: dict[str, Field]) -> ErrorPolicy:
    retry = (
        (members["retry"].members(("max_attempts", "base_delay")) or {})
        if "retry" in members
        else {}
    )
    max_attempts = (
        retry["max_attempts"].integer(0, MAX_RETRIES) if "max_attempts" in retry else None
    )
    base_delay = retry["base_delay"].duration() if "base_delay" in retry else None
    if base_delay is not None and base_delay > MAX_BASE_DELAY_US:
        retry["base_delay"].fault("must be at most one day")
    exhausted = members["on_exhausted"].choice(ON_EXHAUSTED) if "on_exhausted" in members else None
    rejected = members["on_rejected"].choice(ON_REJECTED) if "on_rejected" in members else None
    unknown = members["on_unknown"].choice(ON_UNKNOWN) if "on_unknown" in members else None
    return ErrorPolicy(
        max_attempts,
        base_delay,
        exhausted or ON_EXHAUSTED[0],
        rejected or ON_REJECTED[0],
        unknown or ON_UNKNOWN[0],
    )
