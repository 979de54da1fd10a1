"""Times: microseconds since the Unix epoch inside goald, RFC 3339 text outside."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def rfc3339(time_us: int) -> str:
    """The time in UTC with microseconds, such as `2026-01-31T09:00:00.000000Z`."""
    time = _EPOCH + timedelta(microseconds=time_us)
    return time.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_us(text: str) -> int:
    """Microseconds since the Unix epoch of a time that an event may have; further digits are cut.
    Raises ValueError for another text."""
    return to_us(datetime.fromisoformat(text.upper()))


def to_us(time: datetime) -> int:
    """Microseconds since the Unix epoch, exactly. Raises ValueError for a time without an
    offset."""
    if time.tzinfo is None:
        raise ValueError(f"{time.isoformat()} has no offset from UTC")
    return (time - _EPOCH) // _MICROSECOND
