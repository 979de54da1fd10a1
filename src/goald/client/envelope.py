"""The envelope that goald reads: a CloudEvents 1.0 event (3.1)."""

import json
import unicodedata
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from goald.domain.times import rfc3339, to_us

Format: TypeAlias = Literal["json", "msgpack"]

MAX_EVENT_BYTES = 64 * 1024
MAX_ID_CHARACTERS = 128

_REQUIRED = ("id", "source", "type", "time", "tenantid")


def event(
    type: str,  # noqa: A002 - what CloudEvents calls it
    tenant: str,
    contact: str,
    data: Mapping[str, Any] | None = None,
    *,
    id: str | None = None,  # noqa: A002
    time: datetime | None = None,
    source: str = "goald.client",
    traceparent: str | None = None,
) -> dict[str, Any]:
    """An event of a contact, ready for `Publisher.publish`.

    `data` needs no `contact_id`: it is put in. `id` is a new UUID and `time`, which must
    have an offset, is now, unless given; give both where the same fact may be sent twice.
    Raises ValueError, saying what is wrong.

    >>> made = event("form.submitted", "acme", "c-1", {"form_id": "f-1"}, id="e-1")
    >>> made["type"], made["tenantid"], made["data"]
    ('form.submitted', 'acme', {'contact_id': 'c-1', 'form_id': 'f-1'})
    """
    given = dict(data or {})
    if given.setdefault("contact_id", contact) != contact:
        raise ValueError(f"data.contact_id is {given['contact_id']!r}, not {contact!r}")
    made = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()) if id is None else id,
        "source": source,
        "type": type,
        "time": rfc3339(to_us(time or datetime.now(UTC))),
        "tenantid": tenant,
        "data": {"contact_id": contact, **given},
    }
    if traceparent is not None:
        made["traceparent"] = traceparent
    contact_key(made)
    return made


def contact_key(event: Mapping[str, Any]) -> tuple[str, str]:
    """An event's tenant and contact. Raises ValueError where something that every event
    needs is not there; whether the rest means anything is for goald to judge."""
    for name in _REQUIRED:
        value = event.get(name)
        if not isinstance(value, str) or not value:
            raise ValueError(f"an event needs {name}, a string that is not empty")
    data = event.get("data")
    contact = data.get("contact_id") if isinstance(data, Mapping) else None
    return _an_id("tenantid", event["tenantid"]), _an_id("data.contact_id", contact)


def encode(event: Mapping[str, Any], form: Format) -> bytes:
    """The bytes of an event. Raises ValueError for what cannot be written in that format
    (in JSON, what is not finite) or comes to more than 64 KiB (D9)."""
    if form == "json":
        try:
            text = json.dumps(event, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        except TypeError as error:
            raise ValueError(f"the event cannot be written as JSON: {error}") from error
        payload = text.encode()
    else:
        payload = _packed(event)
    if len(payload) > MAX_EVENT_BYTES:
        raise ValueError(f"the event has {len(payload)} bytes; {MAX_EVENT_BYTES} are allowed")
    return payload


def _packed(event: Mapping[str, Any]) -> bytes:
    import msgpack  # Not a dependency of the client; who asks for the format has it.

    try:
        packed: bytes = msgpack.packb(dict(event))
    except TypeError as error:
        raise ValueError(f"the event cannot be written as MessagePack: {error}") from error
    return packed


def _an_id(name: str, value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_ID_CHARACTERS:
        raise ValueError(f"{name} has to be a string of 1 to {MAX_ID_CHARACTERS} characters")
    if any(unicodedata.category(character) == "Cc" for character in value):
        raise ValueError(f"{name} holds a control character")
    return value
