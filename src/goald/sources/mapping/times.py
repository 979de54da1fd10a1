"""Times as providers write them (E20)."""

import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from goald.domain.times import to_us
from goald.sources.expressions.numbers import decimal_of

_MILLISECONDS: Final = Decimal(100_000_000_000)
"""Epoch times from here on are milliseconds; in seconds this is the year 5138."""
_MICROSECONDS: Final = Decimal(100_000_000_000_000)
_LATEST_US: Final = 253_402_300_799_000_000
_TEXT: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2})(?::(\d{2})(?:[.,](\d{1,12}))?)?"
    r"\s?(Z|z|UTC|[+-]\d{2}(?::?\d{2})?)?",
    re.ASCII,
)


def time_us_of(value: Any, zone: ZoneInfo) -> int | None:
    """Return a provider's time in microseconds since the Unix epoch; None if it is not a time.

    Times are RFC 3339 or a variant that is in use: `+0000`, no seconds, a space for the `T`, no
    zone (then it is in `zone`), and epoch seconds, milliseconds or microseconds, as a number or
    as text. A fraction is cut after microseconds.
    """
    number = decimal_of(value)
    if number is not None:
        return _epoch(number)
    if not isinstance(value, str) or len(value) > 64:
        return None
    found = _TEXT.fullmatch(value.strip())
    if found is None:
        return None
    date, minutes, seconds, fraction, offset = found.groups()
    micros = ((fraction or "") + "000000")[:6]
    try:
        time = datetime.fromisoformat(f"{date}T{minutes}:{seconds or '00'}.{micros}")
        return _positive(to_us(time.replace(tzinfo=_zone(offset, zone))))
    except (ValueError, OverflowError):
        return None


def _epoch(number: Decimal) -> int | None:
    size = number.copy_abs()
    unit = 1_000_000
    if size >= _MICROSECONDS:
        unit = 1
    elif size >= _MILLISECONDS:
        unit = 1_000
    return _positive(int(number * unit))


def _positive(time_us: int) -> int | None:
    return time_us if 0 < time_us <= _LATEST_US else None


def _zone(offset: str | None, zone: ZoneInfo) -> timezone | ZoneInfo:
    if offset is None:
        return zone
    if offset in ("Z", "z", "UTC"):
        return UTC
    digits = offset[1:].replace(":", "")
    delta = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or "0"))
    return timezone(delta if offset[0] == "+" else -delta)
