"""The plan: the compiled form of one version of a definition, which the state machine loads.

A plan is a flat list of instructions. Instruction `i` is step `i` of the document, counted from 0
in the order of the document (a step, its `then`, its `else`, the step after it); the last
instruction is `End` and is no step. Targets are positions in the list and are always greater than
the position of the instruction that has them, so a plan has no loops, and one pass from its end
sees every target first.

docs/reference/plans.md describes the encoded form.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, TypeAlias

from goald.domain.definitions.conditions import Condition, TagTest
from goald.domain.definitions.steps import ErrorPolicy, EventPattern, Reentry

PLAN_FORMAT: Final = 1
"""Incremented by each change of the encoded form. Stored plans are encoded again from their
documents when it changes."""


@dataclass(frozen=True, slots=True)
class _StepInstruction:
    step_id: str
    longest: int
    """The steps on the longest path from this one to the end, this one included: with the number of
    steps that are done it gives `total_steps` of the path that is known."""


@dataclass(frozen=True, slots=True)
class Act(_StepInstruction):
    """Requests an action, then continues at `next`. `config`: the fields under `with`, whose
    templates the worker renders. `max_lateness`: microseconds after the time at which the step was
    due, beyond which it is skipped (X7); None: no limit."""

    next: int
    action: str
    connection: str | None
    config: Mapping[str, Any]
    errors: ErrorPolicy
    max_lateness: int | None


@dataclass(frozen=True, slots=True)
class Branch(_StepInstruction):
    """Evaluates a condition and continues at `then` or at `otherwise`."""

    then: int
    otherwise: int
    condition: Condition


@dataclass(frozen=True, slots=True)
class WaitFor(_StepInstruction):
    """Waits for `duration` microseconds, then continues at `next`."""

    next: int
    duration: int


@dataclass(frozen=True, slots=True)
class WaitUntil(_StepInstruction):
    """Waits for a wall time (`ClockWait`), then continues at `next`. `weekdays`: bit 0 is Monday;
    `second`: of the day. `timezone`: None for the zone of the contact, else of the plan, else
    UTC."""

    next: int
    second: int
    weekdays: int
    day: date | None
    timezone: str | None


@dataclass(frozen=True, slots=True)
class WaitForEvent(_StepInstruction):
    """Waits for an event. Continues at `then` after it, and at `otherwise` if `timeout`
    microseconds have passed before it; None: there is no time-out."""

    then: int
    otherwise: int
    pattern: EventPattern
    timeout: int | None


@dataclass(frozen=True, slots=True)
class Stop(_StepInstruction):
    """Completes the execution."""


@dataclass(frozen=True, slots=True)
class End:
    """Completes the execution after the last step. It is no step."""


Instruction: TypeAlias = Act | Branch | WaitFor | WaitUntil | WaitForEvent | Stop | End


@dataclass(frozen=True, slots=True)
class Plan:
    """The compiled form of a definition."""

    instructions: tuple[Instruction, ...]
    trigger: EventPattern | None
    reentry: Reentry
    timezone: str | None
    tags: tuple[TagTest, ...]
    """The tags that conditions test, each once."""
    attributes: tuple[str, ...]
    """The attributes that conditions test, or whose change an event must give, each once."""
