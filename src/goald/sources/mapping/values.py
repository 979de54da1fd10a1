"""Values of a delivery as the data of an event."""

from decimal import Decimal
from typing import Any, Final

from goald.domain.derived_ids import derived_id
from goald.domain.ids import NOT_IN_IDS, is_id
from goald.sources.expressions.numbers import decimal_of

MAX_ID: Final = 256
"""Characters of an id (E14)."""
MAX_TEXT: Final = 4_096
MAX_ELEMENTS: Final = 500
MAX_DATA: Final = 100_000
"""Characters of the data of an event; an event may have 256 KiB on a stream."""
_MAX_LEVELS: Final = 8
_MAX_INTEGER: Final = 1 << 53
_MAX_BITS: Final = 512


class DataTooLarge(Exception):
    """A value does not fit into the remaining room of the data of an event."""


class DataBudget:
    """The room that remains in the data of one event."""

    def __init__(self) -> None:
        self.remaining = MAX_DATA

    def take(self, size: int) -> None:
        self.remaining -= size
        if self.remaining < 0:
            raise DataTooLarge


def id_text(value: Any) -> str | None:
    """Return an id as text, an integer as its digits; None for anything that cannot be an id."""
    if isinstance(value, int) and not isinstance(value, bool):
        text = str(value) if value.bit_length() <= _MAX_BITS else ""
    else:
        text = value.strip() if isinstance(value, str) else ""
    return text if is_id(text) else None


def event_id(parts: list[str]) -> str:
    """Return the id of an event from its parts, joined with colons; a derived one if that is not
    an id."""
    joined = ":".join(parts)
    if len(joined) <= MAX_ID and not NOT_IN_IDS.search(joined):
        return joined
    clean = [part.encode("utf-8", "replace").decode() for part in parts]
    return str(derived_id("source event", *clean))


def id_part(value: Any) -> str | None:
    """Return a part of an event's id: text, digits or a decimal; None for anything else."""
    if isinstance(value, Decimal):
        number = decimal_of(value)
        return None if number is None else format(number, "f")
    if isinstance(value, str):
        return value.strip()[:4_096] or None
    return id_text(value)


def clean_text(text: str) -> str:
    """Text without NUL and lone surrogates, which Postgres refuses, cut at MAX_TEXT."""
    if len(text) > MAX_TEXT:
        text = text[: MAX_TEXT - 1] + "…"
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text


def data_value(name: str, value: Any, budget: DataBudget, level: int = 0) -> Any:
    """Return a value for the data of an event: decimals become text, and so do the integers of
    fields that end in `_id`. Long texts and lists are cut. Raises DataTooLarge."""
    if isinstance(value, (list, dict)):
        return _container(name, value, budget, level) if level < _MAX_LEVELS else None
    scalar = _scalar(name, value)
    budget.take(len(scalar.encode()) + 2 if isinstance(scalar, str) else 20)
    return scalar


def _container(name: str, value: Any, budget: DataBudget, level: int) -> Any:
    if isinstance(value, list):
        return [data_value(name, each, budget, level + 1) for each in value[:MAX_ELEMENTS]]
    members = [each for each in value.items() if each[1] is not None][:MAX_ELEMENTS]
    entries = [(clean_text(key), each) for key, each in members]
    budget.take(sum(len(key.encode()) + 4 for key, _ in entries))
    return {key: data_value(key, each, budget, level + 1) for key, each in entries}


def _scalar(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, Decimal):
        number = decimal_of(value)
        return None if number is None else format(number, "f")
    if isinstance(value, int) and not isinstance(value, bool):
        if value.bit_length() > _MAX_BITS:
            return None
        return str(value) if name.endswith("_id") or abs(value) > _MAX_INTEGER else value
    return value if isinstance(value, bool) else None
