"""Reads the waits of elapsed time and for a wall time."""

import re
from datetime import date
from typing import Final

from goald.domain.definitions.readers.fields import Field
from goald.domain.definitions.steps import ClockWait, DurationWait

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WAITS: Final = ("for", "until", "for_event")
FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 2199
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?", re.ASCII)


def wait_form(field: Field) -> str | None:
    """Return which of WAITS a wait has; None, and a fault, if it has not exactly one."""
    value = field.value
    given = [form for form in WAITS if isinstance(value, dict) and value.get(form) is not None]
    if len(given) != 1:
        field.fault("must be a map with exactly one of for, until and for_event")
        return None
    return given[0]


def read_duration_wait(step_id: str, field: Field) -> DurationWait | None:
    """Read `{for: DURATION}`."""
    members = field.members(("for",)) or {}
    duration = members["for"].duration() if "for" in members else None
    return None if duration is None else DurationWait(step_id, duration)


def read_clock_wait(step_id: str, field: Field) -> ClockWait | None:
    """Read `{until: {time, days or date, timezone}}`."""
    until = (field.members(("until",)) or {}).get("until")
    members = (
        None if until is None else until.members(("time", "days", "date", "timezone"), ("time",))
    )
    if members is None:
        return None
    second = _second(members["time"]) if "time" in members else None
    weekdays = _weekdays(members["days"]) if "days" in members else frozenset(range(7))
    day = _date(members["date"]) if "date" in members else None
    if "date" in members and "days" in members:
        members["days"].fault("cannot be combined with date")
    timezone = members["timezone"].zone() if "timezone" in members else None
    return None if second is None else ClockWait(step_id, second, weekdays, day, timezone)


def _second(field: Field) -> int | None:
    found = _TIME.fullmatch(field.value) if isinstance(field.value, str) else None
    if found is None:
        field.fault('must be a time of the day in quotes, such as "09:00"')
        return None
    hour, minute, second = (int(part or 0) for part in found.groups())
    return hour * 3_600 + minute * 60 + second


def _weekdays(field: Field) -> frozenset[int]:
    names = [item.choice(WEEKDAYS) for item in field.items(7, least=1)]
    return frozenset(WEEKDAYS.index(name) for name in names if name is not None)


def _date(field: Field) -> date | None:
    try:
        day = date.fromisoformat(field.value if isinstance(field.value, str) else "")
    except ValueError:
        field.fault('must be a date in quotes, such as "2026-12-24"')
        return None
    if FIRST_YEAR <= day.year <= LAST_YEAR:
        return day
    field.fault(f"must be a date of the years {FIRST_YEAR} to {LAST_YEAR}")
    return None
