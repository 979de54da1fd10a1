"""Generates definitions, and the inputs of their executions."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.reference.executions.plans import CHANGED_CONTACT, FORMS, Described

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia")
STEP_IDS = tuple(f"s{number}" for number in range(9))
CONTACTS = ("c-1", "c-2")
WORKFLOWS = ("w-1", "w-2")
TAGS = [["t-1", None], [None, "VIP"]]
ATTRIBUTES = ["plan", "age"]

# Shortly before changes of daylight saving, an ordinary day, and the day before Apia skipped a
# day.
STARTS_MS = (
    1_774_738_800_000, 1_792_879_200_000, 1_780_308_000_000, 1_325_188_800_000,
)  # fmt: skip
ADVANCES_MS = (
    0, 0, 1, 40, 999, 5_000, 60_000, 120_000, 240_000, 3_600_000, 20_000_000, 86_400_000,
    31 * 86_400_000,
)  # fmt: skip
OUTCOMES = (
    "success", "success", "success", "success", "retry", "retry", "retry", "skip", "pause",
    "rate_limit", "unknown", "refused", "refused_inactive",
)  # fmt: skip
CANCEL_REASONS = ("user", "workflow_deleted", "contact_merged")

Tree = tuple[Any, ...]
Trees = tuple[Tree, ...]


@dataclass(frozen=True)
class Feed:
    """A group of inputs, and how its evaluation goes."""

    inputs: tuple[tuple[Any, ...], ...]
    advance_ms: int
    grants: str
    """all, none, or half."""
    slice_size: int
    events_first: bool
    """Commit the events before the rest of the group."""
    crash: str
    """none, before (the commit), after (it), or between slices. The group is delivered again."""


@dataclass(frozen=True)
class Publish:
    """Publish a version of a workflow."""

    workflow: str
    plan: list[Any]


@dataclass(frozen=True)
class SetActive:
    workflow: str
    is_active: bool
    overdue: str


@dataclass(frozen=True)
class Crash:
    """Memory is lost and loaded again."""


Step = Feed | Publish | SetActive | Crash


@dataclass(frozen=True)
class History:
    start_ms: int
    plans: tuple[list[Any], ...]
    """The first versions of the workflows."""
    steps: tuple[Step, ...]


class Generator:
    """Generates parts of histories. The same seed gives the same history."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def history(self, max_inputs: int = 50) -> History:
        """At most `max_inputs` inputs in groups, with publications, activations and crashes."""
        first = tuple(self.plan() for _ in WORKFLOWS)
        starts = tuple(
            ("trigger", contact, workflow, 0) for contact in CONTACTS for workflow in WORKFLOWS
        )
        steps: list[Step] = [Feed(starts, 0, "all", 100, False, "none")]
        remaining = max_inputs - len(starts)
        for _ in range(self.random.randrange(4, 25)):
            step = self.step(remaining)
            remaining -= len(step.inputs) if isinstance(step, Feed) else 0
            steps.append(step)
        return History(self.pick(STARTS_MS), first, tuple(steps))

    def pick(self, choices: Any) -> Any:
        return self.random.choice(choices)

    def often(self, percent: int) -> bool:
        return self.random.randrange(100) < percent

    def step(self, max_inputs: int) -> Step:
        kind = self.random.randrange(100)
        if kind < 9:
            return Publish(self.pick(WORKFLOWS), self.plan())
        if kind < 16:
            return SetActive(
                self.pick(WORKFLOWS), self.often(60), self.pick(("run", "skip", "cancel"))
            )
        if kind < 20:
            return Crash()
        count = min(self.random.randrange(6), max_inputs)
        return Feed(
            inputs=tuple(self.input() for _ in range(count)),
            advance_ms=self.pick(ADVANCES_MS),
            grants=self.pick(("all", "all", "all", "none", "half")),
            slice_size=self.pick((1, 2, 100)),
            events_first=self.often(25),
            crash=self.pick(("none",) * 5 + ("before", "after", "between")),
        )

    def input(self) -> tuple[Any, ...]:
        """An input. Numbers stand for executions and attempts that exist at that time."""
        contact, number = self.pick(CONTACTS), self.random.randrange(6)
        hops = self.pick((0, 0, 0, 9, 10))
        match self.random.randrange(48):
            case kind if kind < 17:
                is_late = int(self.often(15))
                return ("result", number, self.pick(OUTCOMES), is_late, self.often(50))
            case kind if kind < 21:
                return ("trigger", contact, self.pick(WORKFLOWS), self.random.randrange(10))
            case kind if kind < 26:
                return ("form", contact, self.pick(("f-1", "f-2")), hops, self.pick((0, 0, 1, 9)))
            case kind if kind < 29:
                return ("describe", contact, self.described(), self.pick(ATTRIBUTES), hops)
            case 29:
                return ("delete", contact, self.pick((0, 5_000, 10**9)))
            case 30:
                return ("end", number)
            case 31:
                return ("cancel", number, self.pick(CANCEL_REASONS))
            case 32 | 33:
                return ("retry", number)
            case 34 | 35 | 36:
                return ("migrate", number)
            case 37:
                return ("resume", number)
            case 38:
                return ("gate", number, self.pick(("open", "closed", "lost")))
            case 39 | 40 | 41 | 42:
                age = self.pick((0, 0, 0, 5, 100_000))
                return ("pay", contact, self.pick(WORKFLOWS), age)
        # An input is delivered again, unchanged.
        return ("again", self.random.randrange(20))

    def described(self) -> Described:
        tags = (("t-1", None), ("t-2", "vip"), (None, " Vip "))
        attributes = (
            "{}", '{"plan": "pro"}', '{"plan": 2.5, "age": 18}', '{"age": null}',
            '{"plan": ["pro", 18], "age": 17.99}', '{"plan": true, "age": "1"}',
        )  # fmt: skip
        return Described(
            opted_in=self.pick((None, None, None, True, True, False)),
            timezone=self.pick((None, "Mars/Base", *ZONES)),
            tags=tuple(tag for tag in tags if self.often(30)),
            attributes=self.pick(attributes),
        )

    def plan(self) -> list[Any]:
        """An encoded plan (docs/reference/plans.md)."""
        trees: Trees = ()
        while not 0 < len(list(_walk(trees))) <= len(STEP_IDS):
            trees = self.trees(1)
        ids = iter(self.random.sample(STEP_IDS, len(STEP_IDS)))
        flat: list[list[Any]] = []
        _compile(trees, len(list(_walk(trees))), ids, flat)
        return [
            1,
            self.pick((None, "Europe/Berlin", "Pacific/Apia")),
            [self.random.randrange(3), self.pick((0, 0, 3_600_000_000))],
            self.pattern() if self.often(50) else None,
            TAGS,
            ATTRIBUTES,
            [*flat, [0]],
        ]

    def trees(self, depth: int) -> Trees:
        steps = tuple(self.tree(depth) for _ in range(self.random.randrange(1, 5)))
        return (*steps, ("exit",)) if depth > 1 and self.often(15) else steps

    def tree(self, depth: int) -> Tree:
        kind = self.random.randrange(100)
        if kind < 30 and depth < 4:
            branches = [self.trees(depth + 1) if self.often(70) else () for _ in range(2)]
            if kind < 15:
                return ("branch", self.condition(), *branches)
            timeout = self.pick((None, 60_000_000, 3_600_000_000))
            return ("event", self.pattern(), timeout, *branches)
        if kind < 42:
            return ("for", self.pick((1_000_000, 3_600_000_000, 90_000_500)))
        if kind < 55:
            day = self.pick((None, None, None, 15_338, 20_541))
            weekdays = 127 if day is not None else self.pick((127, 31, 64))
            second = self.pick((0, 9 * 3600, 9_000, 8_999))
            return ("until", second, weekdays, day, self.pick((None, None, "Mars/Base", *ZONES)))
        policy = [
            self.pick((None, None, 0, 1)),
            self.pick((None, 1_000_000)),
            self.pick(("fail", "fail", "continue")),
            self.pick(("continue", "continue", "fail")),
            self.pick(("continue", "retry", "fail")),
        ]
        return ("act", self.pick(("noop", "webhook")), policy, self.pick((None, None, 30_000_000)))

    def pattern(self) -> list[Any]:
        if self.often(65):
            return [FORMS, json.dumps({"form_id": self.pick(("f-1", "f-2"))}), [], None]
        changed = [self.random.randrange(2)] if self.often(50) else []
        return [CHANGED_CONTACT, None, changed, self.condition() if self.often(50) else None]

    def condition(self, depth: int = 1) -> list[Any]:
        kind = self.random.randrange(100)
        if kind < 25 and depth < 3:
            inner = [self.condition(depth + 1) for _ in range(self.random.randrange(1, 3))]
            return [self.random.randrange(2, 4), inner]
        if kind < 40 and depth < 3:
            return [4, self.condition(depth + 1)]
        if kind < 60:
            return [0, self.random.randrange(2)]
        values = ("pro", ["18"], ["2.50"], True, "1")
        operator = self.random.randrange(9)
        given: list[Any] = [self.pick(values)]
        if operator in (2, 3, 4, 5):
            given = [["18"]]
        elif operator == 6:
            given = [self.pick(("pro", "r", ["18"]))]
        elif operator == 7:
            given = [self.pick(values), self.pick(values)]
        elif operator == 8:
            given = []
        return [1, self.random.randrange(2), operator, given]


def _walk(steps: Trees) -> Iterator[Tree]:
    for step in steps:
        yield step
        for branch in step[-2:] if step[0] in ("branch", "event") else ():
            yield from _walk(branch)


def _compile(steps: Trees, after: int, ids: Iterator[str], flat: list[list[Any]]) -> None:
    """Append the instructions of these steps, after which an execution continues at `after`."""
    # The positions are known before the instructions are: each step takes as many as it has steps.
    starts = [len(flat)]
    for step in steps:
        starts.append(starts[-1] + len(list(_walk((step,)))))
    for number, step in enumerate(steps):
        next_ = after if number == len(steps) - 1 else starts[number + 1]
        id_ = next(ids)
        match step:
            case ["act", action, policy, late]:
                flat.append([1, id_, 1, next_, action, None, "{}", policy, late])
            case ["for", duration]:
                flat.append([3, id_, 1, next_, duration])
            case ["until", second, weekdays, day, zone]:
                flat.append([4, id_, 1, next_, second, weekdays, day, zone])
            case ["exit"]:
                flat.append([6, id_, 1])
            case [kind, *given, then, otherwise]:
                at = len(flat)
                first = at + 1
                second = first + len(list(_walk(then)))
                targets = [first if then else next_, second if otherwise else next_]
                if kind == "branch":
                    flat.append([2, id_, 1, *targets, *given])
                else:
                    flat.append([5, id_, 1, *targets, *given])
                _compile(then, next_, ids, flat)
                _compile(otherwise, next_, ids, flat)
