"""Times as providers write them (E20)."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from goald import _native
from goald.domain.times import to_us
from goald.sources.expressions.numbers import decimal_of

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_TEXT: Final = 64
"""Characters of a time."""


def time_us_of(value: Any, zone: ZoneInfo) -> int | None:
    """Return a provider's time in microseconds since the Unix epoch; None if it is not a time.

    The reader is that of the streams, so a source and a stream accept the same times. There are two
    additions: text may have spaces around it, and a date and time without an offset is in `zone`.
    """
    text = _text(value)
    if text is None:
        return None
    time_us = _native.time_us(text)
    if time_us is not None:
        return time_us
    # Z makes only a date and time without an offset readable: nothing else lacks its end.
    local_us = _native.time_us(text + "Z")
    return None if local_us is None else _in_zone(local_us, zone)


def _text(value: Any) -> str | None:
    """The text of a value that may be a time. All of them are ASCII."""
    if isinstance(value, str):
        text = value.strip()
    elif isinstance(value, int | Decimal):
        text = str(decimal_of(value))
    else:
        return None
    return text if len(text) <= _MAX_TEXT and text.isascii() else None


def _in_zone(local_us: int, zone: ZoneInfo) -> int | None:
    """The time at which the local time of a zone is this one, the earlier of two. None if it is
    before the year 1 or after 9999."""
    local = _EPOCH + timedelta(microseconds=local_us)
    try:
        return to_us(local.replace(tzinfo=zone).astimezone(UTC))
    except (ValueError, OverflowError):
        return None
