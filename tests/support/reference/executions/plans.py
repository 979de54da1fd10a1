"""A plan as the lists of docs/reference/plans.md, its conditions, and its waits for wall times."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from tests.support.reference.contacts import comparable
from tests.support.time_zones import zone as zone_of

END: Final = 0
ACTION: Final = 1
BRANCH: Final = 2
WAIT_FOR: Final = 3
WAIT_UNTIL: Final = 4
WAIT_FOR_EVENT: Final = 5
EXIT: Final = 6
WAITS: Final = (WAIT_FOR, WAIT_UNTIL, WAIT_FOR_EVENT)
OPERATORS: Final = ("eq", "ne", "lt", "lte", "gt", "gte", "contains", "in", "exists")
FORMS: Final = 8
CHANGED_CONTACT: Final = 32


@dataclass(frozen=True)
class Described:
    """A contact as the projection describes it."""

    opted_in: bool | None = None
    timezone: str | None = None
    tags: tuple[tuple[str | None, str | None], ...] = ()
    attributes: str = "{}"

    def attribute(self, name: str) -> Any:
        return json.loads(self.attributes, parse_float=Decimal).get(name)

    def fields(self) -> dict[str, Any]:
        return {
            "opted_in": self.opted_in,
            "timezone": self.timezone,
            "tags": self.tags,
            "attributes": self.attributes,
        }


@dataclass(frozen=True)
class Plan:
    encoded: list[Any]
    version: int = 1
    steps: list[list[Any]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", self.encoded[6])

    @property
    def timezone(self) -> str | None:
        zone: str | None = self.encoded[1]
        return zone

    @property
    def end(self) -> int:
        return len(self.steps) - 1

    def code(self, at: int) -> int:
        code: int = self.steps[at][0]
        return code

    def step_id(self, at: int) -> str:
        return self.steps[at][1] if at < self.end else ""

    def position(self, step_id: str) -> int | None:
        ids = (at for at in range(self.end) if self.step_id(at) == step_id)
        return next(ids, None)

    def following(self, at: int) -> int | None:
        """The step after this one and its branches; None after an exit."""
        step = self.steps[at]
        if step[0] == EXIT:
            return None
        if step[0] in (ACTION, WAIT_FOR, WAIT_UNTIL):
            next_: int = step[3]
            return next_
        first, second = step[3], step[4]
        while first != second:
            if first is None:
                return int(second)
            if second is None:
                return int(first)
            if first < second:
                first = self.following(first)
            else:
                second = self.following(second)
        return None if first is None else int(first)

    def moved(self, at: int, other: "Plan") -> int:
        """The position of an execution in another version (X10)."""
        while at < self.end:
            found = other.position(self.step_id(at))
            if found is not None:
                return found
            after = self.following(at)
            at = self.end if after is None else after
        return other.end

    def end_of_wait(self, at: int, since_ms: int, zone: str) -> int | None:
        step = self.steps[at]
        if step[0] == WAIT_FOR:
            return since_ms + _ms(step[4])
        if step[0] == WAIT_UNTIL:
            return _end_of_clock_wait(step, since_ms, zone_of(zone))
        return None if step[6] is None else since_ms + _ms(step[6])

    def condition(self, condition: list[Any], contact: Described) -> tuple[bool, str | None]:
        """Whether it holds, and the first attribute that was missed."""
        missing: list[str] = []
        holds = self._holds(condition, contact, missing)
        return holds, missing[0] if missing else None

    def _holds(self, condition: list[Any], contact: Described, missing: list[str]) -> bool:
        match condition:
            case [0, tag]:
                return any(_is_same_tag(self.encoded[4][tag], other) for other in contact.tags)
            case [1, attribute, operator, values]:
                name = self.encoded[5][attribute]
                value = contact.attribute(name)
                if value is None:
                    missing.append(name)
                    return False
                return _compare(value, OPERATORS[operator], [_scalar(each) for each in values])
            case [2, conditions]:
                return all(self._holds(each, contact, missing) for each in conditions)
            case [3, conditions]:
                return any(self._holds(each, contact, missing) for each in conditions)
            case [4, inner]:
                return not self._holds(inner, contact, missing)
        raise AssertionError(condition)

    def selects(self, pattern: list[Any], event: Mapping[str, Any], contact: Described) -> bool:
        """Whether an event matches: a submitted form, or a changed contact."""
        kind, criteria, changed, condition = pattern
        if kind == FORMS:
            form = json.loads(criteria)["form_id"]
            is_form = event["type"] == "form.submitted"
            return is_form and bool(event["data"].get("form_id") == form)
        assert kind == CHANGED_CONTACT
        if event["type"] != "contact.updated":
            return False
        names = {self.encoded[5][position] for position in changed}
        if names and not names & set(event["changed"]):
            return False
        return condition is None or self.condition(condition, contact)[0]


def _ms(micros: int) -> int:
    return -(-micros // 1_000)


def _scalar(value: Any) -> Any:
    return Decimal(value[0]) if isinstance(value, list) else value


def _is_same_tag(test: list[str | None], tag: tuple[str | None, str | None]) -> bool:
    if test[0] is not None and tag[0] is not None:
        return test[0] == tag[0]
    if test[1] is None or tag[1] is None:
        return False
    return comparable(test[1]) == comparable(tag[1])


def _is_equal(value: Any, other: Any) -> bool:
    kinds = [_kind(value), _kind(other)]
    return kinds[0] == kinds[1] and bool(value == other)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | Decimal) else type(value).__name__


def _compare(value: Any, operator: str, values: list[Any]) -> bool:
    match operator:
        case "exists":
            return True
        case "eq" | "in":
            return any(_is_equal(value, other) for other in values)
        case "ne":
            return not _is_equal(value, values[0])
        case "contains":
            if isinstance(value, list):
                return any(_is_equal(item, values[0]) for item in value)
            return isinstance(value, str) and isinstance(values[0], str) and values[0] in value
    if _kind(value) != "number":
        return False
    bound = values[0]
    results = {
        "lt": value < bound, "lte": value <= bound, "gt": value > bound, "gte": value >= bound,
    }  # fmt: skip
    return bool(results[operator])


def _end_of_clock_wait(step: list[Any], since_ms: int, zone: ZoneInfo) -> int:
    second, weekdays, days = step[4], step[5], step[6]
    wall = time(second // 3600, second // 60 % 60, second % 60)
    if days is not None:
        return _instant(date(1970, 1, 1) + timedelta(days=days), wall, zone)
    day = datetime.fromtimestamp(since_ms // 1_000, zone).date()
    while True:
        if weekdays >> day.weekday() & 1 and (found := _instant(day, wall, zone)) > since_ms:
            return found
        day += timedelta(days=1)


def _instant(day: date, wall: time, zone: ZoneInfo) -> int:
    """The first instant of a wall time, or the first after the gap that skips it."""
    local = datetime.combine(day, wall, zone)
    second = int(local.astimezone(UTC).timestamp())
    if datetime.fromtimestamp(second, zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return second * 1_000
    # `second` has the offset from before the gap, and is after it: search for the change.
    before = zone.utcoffset(local)
    low, high = second - 86_400, second
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high * 1_000
