"""Reads the values that an event gives its contact. Unreadable values count as not given (E14)."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from goald.domain.contacts.addresses import email_address, phone_number
from goald.domain.contacts.tags import Tag, tags_of
from goald.domain.ids import id_text

VALUES: Final = ("email", "phone", "timezone", "opted_in")
MAX_NAME_CHARS: Final = 128
MAX_VALUE_BYTES: Final = 2 << 10
"""Of one attribute, as JSON."""

_TIMEZONE = re.compile(r"[A-Za-z0-9_+/-]{1,64}")
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class ContactFacts:
    """The values that an event gives. None removes a value."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """By the names in `VALUES`."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    replaces: bool = False
    """Whether the addresses, the time zone and the attributes that are not given are removed."""
    added: Sequence[Tag] = ()
    removed: Sequence[Tag] = ()
    stages: Mapping[str, str] = field(default_factory=dict)
    """The stage by pipeline."""


def facts_of(event_type: str, data: Mapping[str, Any]) -> ContactFacts:
    """Return what an event of this type gives."""
    match event_type:
        case "contact.updated":
            return ContactFacts(
                _values(data), _attributes(data), replaces=data.get("replace") is True
            )
        case "contact.tag.added":
            return ContactFacts(added=list(tags_of(data)))
        case "contact.tag.removed":
            return ContactFacts(removed=list(tags_of(data)))
        case "pipeline.stage.changed":
            return ContactFacts(stages=_stages(data))
        case _:
            return ContactFacts()


def json_bytes(value: Any) -> int:
    """Return the size of a value as JSON."""
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def _values(data: Mapping[str, Any]) -> dict[str, Any]:
    region = data.get("region")
    readers: dict[str, Callable[[Any], Any]] = {
        "email": lambda value: email_address(value) if isinstance(value, str) else None,
        "phone": lambda value: _phone(value, region if isinstance(region, str) else None),
        "timezone": _timezone,
        "opted_in": lambda value: value if isinstance(value, bool) else None,
    }
    values = {}
    for name, read in readers.items():
        if name not in data:
            continue
        value = None if data[name] is None else read(data[name])
        if value is not None or data[name] is None:
            values[name] = value
    return values


def _phone(value: Any, region: str | None) -> str | None:
    return phone_number(value, region) if isinstance(value, str) else None


def _timezone(value: Any) -> str | None:
    return value if isinstance(value, str) and _TIMEZONE.fullmatch(value) else None


def _attributes(data: Mapping[str, Any]) -> dict[str, Any]:
    given = data.get("attributes")
    if not isinstance(given, dict):
        return {}
    return {
        name: value
        for name, value in given.items()
        if 0 < len(name) <= MAX_NAME_CHARS
        and _PRINTABLE.fullmatch(name)
        and json_bytes(value) <= MAX_VALUE_BYTES
    }


def _stages(data: Mapping[str, Any]) -> dict[str, str]:
    stage, pipeline = id_text(data.get("stage_id")), id_text(data.get("pipeline_id"))
    return {} if stage is None else {pipeline or "": stage}
