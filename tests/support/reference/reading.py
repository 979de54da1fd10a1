"""Reads and validates the attributes of a decoded event, and the fields of its `data`.

An invalid event raises RejectedError with a category: `envelope` (an attribute is missing
or has the wrong type), `time`, `id`, `field` (a field of `data` is missing or has the wrong
type), `amount`. The decoder, not this module, enforces the limits of size and depth (D9).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from tests.support.reference import amounts

DAY_US = 24 * 60 * 60 * 1_000_000
MAX_COUNT = 1_000_000
MAX_TAGS = 500
INVISIBLE = [
    # Default_Ignorable_Code_Point of Unicode.
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5),
    (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164),
    (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
    # Line and paragraph separators, and interlinear annotations.
    (0x2028, 0x2029), (0xFFF9, 0xFFFB),
]  # fmt: skip
ENDED_REASONS = ("completed", "exited", "cancelled")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CALENDAR = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?"
    r" ?(?:Z|z|UTC|([+-])([0-9]{2}):?([0-9]{2})?)"
)
_REFUSED = re.compile(
    # C0, DEL and C1 (Unicode's category Cc), and invisible characters.
    f"[\0-\x1f\x7f-\x9f{''.join(f'{chr(first)}-{chr(last)}' for first, last in INVISIBLE)}]"
)
_NUMBER = re.compile(r"[1-9][0-9]{0,17}(\.[0-9]+)?")
_LAST_US = 253_402_300_799_999_999


class RejectedError(ValueError):
    """The event is invalid and is dead-lettered (D4)."""

    def __init__(self, category: str, why: str) -> None:
        super().__init__(category, why)
        self.category = category
        self.why = why


@dataclass(frozen=True)
class Event:
    """A validated envelope. `data` is not validated."""

    id: str
    source: str
    type: str
    time_us: int
    tenant: str
    contact: str
    data: dict[str, Any]


def read_event(event: Any, now_us: int | None) -> Event:
    """Validate the envelope. Raises RejectedError, also if its time is more than 24 h after
    `now_us`, if given."""
    if not isinstance(event, dict):
        raise RejectedError("envelope", "not a map")
    if event.get("specversion") not in (None, "1.0"):
        raise RejectedError("envelope", "specversion")
    if not isinstance(event.get("traceparent"), str | None):
        raise RejectedError("envelope", "traceparent")
    attributes = {"type": _attribute(event, "type")}
    time_us = read_time(event.get("time"), now_us)
    attributes |= {name: _name(event, name) for name in ("id", "source")}
    data = event.get("data")
    if not isinstance(data, dict):
        raise RejectedError("envelope", "data")
    return Event(
        id=attributes["id"],
        source=attributes["source"],
        type=attributes["type"],
        time_us=time_us,
        tenant=required_id(event, "tenantid"),
        contact=_contact(data),
        data=data,
    )


def _contact(data: dict[str, Any]) -> str:
    contact = required_id(data, "contact_id")
    if contact.startswith("erased:"):
        raise RejectedError("id", "reserved")
    return contact


def _attribute(event: dict[str, Any], name: str) -> str:
    value = event.get(name)
    if not isinstance(value, str) or value == "":
        raise RejectedError("envelope", name)
    return value


def _name(event: dict[str, Any], name: str) -> str:
    """The id or the source of an event: a text, or an integer as its decimal text."""
    value = event.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _attribute(event, name)


def read_time(value: Any, now_us: int | None) -> int:
    """A time as microseconds since 1970 (E20): RFC 3339 with an offset, the same with a space, a
    comma, a shorter offset or no seconds, or a number of seconds, milliseconds or microseconds, as
    a number or as text. Further digits are truncated."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise RejectedError("time", "not a time")
    text = value if isinstance(value, str) else str(value)
    time_us = _number_us(text) if _NUMBER.fullmatch(text) else _calendar_us(text)
    if now_us is not None and time_us > now_us + DAY_US:
        raise RejectedError("time", "more than 24 h ahead")
    return time_us


def _number_us(text: str) -> int:
    number = Decimal(text)
    if number < 10**8:
        raise RejectedError("time", "not a time since 1973")
    for limit, unit_us in ((10**11, 10**6), (10**14, 1_000), (10**18, 1)):
        if number < limit and number * unit_us < _LAST_US + 1:
            return int(number * unit_us)
    raise RejectedError("time", "after the year 9999")


def _calendar_us(text: str) -> int:
    found = _CALENDAR.fullmatch(text)
    if found is None or (":" in text[-3:] and found[10] is None):
        raise RejectedError("time", "no form of a time with an offset")
    year, month, day, hour, minute, second = (int(digits or 0) for digits in found.groups()[:6])
    offset = timedelta()
    if found[8] is not None:
        hours, minutes = int(found[9]), int(found[10] or 0)
        if hours > 23 or minutes > 59:
            raise RejectedError("time", "no such offset")
        offset = timedelta(hours=hours, minutes=minutes) * (-1 if found[8] == "-" else 1)
    micro = int(((found[7] or "") + "000000")[:6])
    try:
        moment = datetime(year, month, day, hour, minute, second, micro, tzinfo=timezone(offset))
    except ValueError as error:
        raise RejectedError("time", "no such date") from error
    return (moment - _EPOCH) // timedelta(microseconds=1)


def optional_id(fields: dict[str, Any], name: str) -> str | None:
    """An id that the platform owns: 1 to 256 characters and at most 768 bytes, none a control
    or invisible character. An integer is its decimal text (E14)."""
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise RejectedError("field", name)
    if not 1 <= len(value) <= 256 or len(value.encode()) > 768 or _REFUSED.search(value):
        raise RejectedError("id", name)
    return value


def required_id(fields: dict[str, Any], name: str) -> str:
    """An id that must be present."""
    value = optional_id(fields, name)
    if value is None:
        raise RejectedError("envelope" if name == "tenantid" else "field", f"no {name}")
    return value


def optional_text(fields: dict[str, Any], name: str) -> str | None:
    """A string that is not an id."""
    value = fields.get(name)
    if not isinstance(value, str | None):
        raise RejectedError("field", name)
    return value


def optional_count(fields: dict[str, Any], name: str) -> int | None:
    """An integer from 0 to MAX_COUNT."""
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise RejectedError("field", name)
    if not 0 <= value <= MAX_COUNT:
        raise RejectedError("field", name)
    return value


def optional_event_reference(fields: dict[str, Any], name: str) -> tuple[str, str] | None:
    """The source and id of an event."""
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise RejectedError("field", name)
    parts = []
    for part in (value.get("source"), value.get("id")):
        text = str(part) if isinstance(part, int) and not isinstance(part, bool) else part
        if not isinstance(text, str) or not text:
            raise RejectedError("field", name)
        parts.append(text)
    return parts[0], parts[1]


def optional_match(fields: dict[str, Any], name: str) -> dict[str, str]:
    """The values that an enrollment carries: ids by name, at most 4, without those that are null
    (E17)."""
    value = fields.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RejectedError("field", name)
    if not all(re.fullmatch("[0-9A-Za-z_-]{1,64}", key) for key in value):
        raise RejectedError("field", name)
    found = {key: optional_id(value, key) for key in value}
    present = {key: text for key, text in found.items() if text is not None}
    if len(present) > 4:
        raise RejectedError("field", name)
    return present


def comparable(fields: dict[str, Any], name: str) -> str | None:
    """A field as the values of enrollments are compared with it; None if it is no id (E17)."""
    try:
        return optional_id(fields, name)
    except RejectedError:
        return None


def optional_amount(fields: dict[str, Any], name: str) -> Decimal | None:
    """An exact amount."""
    value = fields.get(name)
    if value is None:
        return None
    try:
        return amounts.exact(value)
    except amounts.InvalidAmountError as error:
        raise RejectedError("amount", str(error)) from error


def tags(fields: dict[str, Any]) -> list[tuple[str | None, str | None]]:
    """The id and the name of each tag in the list: a text, or a map with one of them or both. An
    item may be null."""
    items = fields.get("tags")
    if items is None:
        return []
    if not isinstance(items, list) or len(items) > MAX_TAGS:
        raise RejectedError("field", "tags")
    found: list[tuple[str | None, str | None]] = []
    for item in items:
        if item is None or isinstance(item, str):
            found.append((None, item))
        elif isinstance(item, dict):
            found.append((optional_id(item, "tag_id"), optional_text(item, "tag_name")))
        else:
            raise RejectedError("field", "tags")
    return [(id_, name) for id_, name in found if id_ is not None or name is not None]


def line_items(fields: dict[str, Any]) -> list[tuple[str, Decimal | None]]:
    """The product and the amount of each line item that has a product. An item may be null."""
    items = fields.get("line_items")
    if items is None:
        return []
    if not isinstance(items, list):
        raise RejectedError("field", "line_items")
    found = []
    for item in items:
        if item is None:
            continue
        if not isinstance(item, dict):
            raise RejectedError("field", "line_items")
        product = optional_id(item, "product_id")
        amount = optional_amount(item, "amount")
        if product is not None:
            found.append((product, amount))
    return found
