"""The encoded form of a plan: MessagePack, as docs/reference/plans.md describes it."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

import msgpack

from goald.domain.configuration.criteria import criteria_text
from goald.domain.configuration.goals import TYPE_BITS
from goald.domain.definitions.conditions import (
    OPERATORS,
    AllOf,
    AnyOf,
    AttributeTest,
    Condition,
    Not,
    TagTest,
)
from goald.domain.definitions.json_text import json_text
from goald.domain.definitions.plan import (
    PLAN_FORMAT,
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
from goald.domain.definitions.steps import ALLOW, EventPattern

_CONTACT_UPDATED: Final = 32
"""The bit of contact.updated, next to those of the goal types."""
_END, _ACT, _BRANCH, _WAIT_FOR, _WAIT_UNTIL, _WAIT_FOR_EVENT, _EXIT = range(7)
_HAS_TAG, _ATTRIBUTE, _ALL, _ANY, _NOT = range(5)
_DAY_ZERO: Final = date(1970, 1, 1)


def encode_plan(plan: Plan) -> bytes:
    """Return the encoded form of a plan. Equal plans have equal bytes."""
    encoder = _PlanEncoder(plan)
    packed: bytes = msgpack.packb(
        [
            PLAN_FORMAT,
            plan.timezone,
            [ALLOW.index(plan.reentry.allow), plan.reentry.min_interval],
            None if plan.trigger is None else encoder.pattern(plan.trigger),
            [[tag.tag_id, tag.tag_name] for tag in plan.tags],
            list(plan.attributes),
            [encoder.instruction(each) for each in plan.instructions],
        ]
    )
    return packed


class _PlanEncoder:
    """Encodes the parts of a plan that refer to its tables."""

    def __init__(self, plan: Plan) -> None:
        self._tags = {tag: position for position, tag in enumerate(plan.tags)}
        self._attributes = {name: position for position, name in enumerate(plan.attributes)}

    def instruction(self, given: Instruction) -> list[Any]:  # noqa: PLR0911 -- one for each kind
        match given:
            case Act(step_id, longest, next_, action, connection, config, errors, max_lateness):
                policy = [
                    errors.max_attempts, errors.base_delay, errors.on_exhausted,
                    errors.on_rejected, errors.on_unknown,
                ]  # fmt: skip
                return [
                    _ACT, step_id, longest, next_, action, connection, json_text(config), policy,
                    max_lateness,
                ]  # fmt: skip
            case Branch(step_id, longest, then, otherwise, condition):
                return [_BRANCH, step_id, longest, then, otherwise, self.condition(condition)]
            case WaitFor(step_id, longest, next_, duration):
                return [_WAIT_FOR, step_id, longest, next_, duration]
            case WaitUntil(step_id, longest, next_, second, weekdays, day, timezone):
                days = None if day is None else (day - _DAY_ZERO).days
                return [_WAIT_UNTIL, step_id, longest, next_, second, weekdays, days, timezone]
            case WaitForEvent(step_id, longest, then, otherwise, pattern, timeout):
                return [
                    _WAIT_FOR_EVENT, step_id, longest, then, otherwise, self.pattern(pattern),
                    timeout,
                ]  # fmt: skip
            case Stop(step_id, longest):
                return [_EXIT, step_id, longest]
            case End():
                return [_END]

    def pattern(self, given: EventPattern) -> list[Any]:
        return [
            _CONTACT_UPDATED if given.on == "contact.updated" else TYPE_BITS[given.on],
            criteria_text(given.criteria) if given.criteria else None,
            [self._attributes[name] for name in given.changed],
            None if given.condition is None else self.condition(given.condition),
        ]

    def condition(self, given: Condition) -> list[Any]:
        match given:
            case TagTest():
                return [_HAS_TAG, self._tags[given]]
            case AttributeTest(attribute, operator, values):
                position = self._attributes[attribute]
                return [_ATTRIBUTE, position, OPERATORS.index(operator), [*map(_value, values)]]
            case AllOf(conditions):
                return [_ALL, self._conditions(conditions)]
            case AnyOf(conditions):
                return [_ANY, self._conditions(conditions)]
            case Not(condition):
                return [_NOT, self.condition(condition)]

    def _conditions(self, given: Sequence[Condition]) -> list[Any]:
        return [self.condition(each) for each in given]


def _value(value: str | bool | Decimal) -> Any:
    """A number is a list of its text, which distinguishes it from a text."""
    return [format(value, "f")] if isinstance(value, Decimal) else value
