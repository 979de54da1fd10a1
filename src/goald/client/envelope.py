"""The envelope that goald reads: a CloudEvents 1.0 event, as JSON or MessagePack."""

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from goald.domain.ids import MAX_ID_BYTES, MAX_ID_CHARACTERS, NOT_IN_IDS, id_text
from goald.domain.times import rfc3339, to_us

Format: TypeAlias = Literal["json", "msgpack"]

MAX_EVENT_BYTES = 256 * 1024
_MAX_DECIMAL_EXPONENT = 100

_REQUIRED = ("id", "source", "type", "time", "tenantid")
_TEXTS = ("id", "source", "tenantid")
"""Attributes that may be integers, which goald takes as their decimal text (E14)."""


def event(
    type: str,  # noqa: A002 - the name in CloudEvents
    tenant: str,
    contact: str,
    data: Mapping[str, Any] | None = None,
    *,
    id: str | None = None,  # noqa: A002
    time: datetime | None = None,
    source: str = "goald.client",
    traceparent: str | None = None,
) -> dict[str, Any]:
    """An event of a contact, for `Publisher.publish`.

    `data` need not hold `contact_id`. An amount may be a `decimal.Decimal`; it is sent as a
    decimal string, without loss. `id` is a new UUID and `time` is now unless given; `time` must
    have an offset. Give both if the same fact may be sent twice. Raises ValueError, saying what
    is wrong.

    >>> sample = event("form.submitted", "acme", "c-1", {"form_id": "f-1"}, id="e-1")
    >>> sample["type"], sample["tenantid"], sample["data"]
    ('form.submitted', 'acme', {'contact_id': 'c-1', 'form_id': 'f-1'})
    """
    given = dict(data or {})
    if given.setdefault("contact_id", contact) != contact:
        raise ValueError(f"data.contact_id is {given['contact_id']!r}, not {contact!r}")
    envelope = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()) if id is None else id,
        "source": source,
        "type": type,
        "time": rfc3339(to_us(time or datetime.now(UTC))),
        "tenantid": tenant,
        "data": {"contact_id": contact, **given},
    }
    if traceparent is not None:
        envelope["traceparent"] = traceparent
    contact_key(envelope)
    return envelope


def contact_key(event: Mapping[str, Any]) -> tuple[str, str]:
    """An event's tenant and contact. Raises ValueError if an attribute that every event needs is
    missing or is not valid. Checks nothing else: goald dead-letters an event that it refuses."""
    for name in _REQUIRED:
        value = event.get(name)
        if name in _TEXTS and value is not None:
            value = id_text(value)
        if not isinstance(value, str) or not value:
            raise ValueError(f"the event attribute {name} is missing, empty or not a string")
    data = event.get("data")
    contact = data.get("contact_id") if isinstance(data, Mapping) else None
    return _checked_id("tenantid", event["tenantid"]), _checked_id("data.contact_id", contact)


def encode(event: Mapping[str, Any], form: Format) -> bytes:
    """The bytes of an event. A `Decimal` becomes a decimal string, such as "149.90". Raises
    ValueError for a value that the format cannot express (NaN and infinity included), and for an
    event of more than 256 KiB (D9). MessagePack needs the package msgpack."""
    if form == "json":
        try:
            payload = json.dumps(
                event,
                ensure_ascii=False,
                allow_nan=False,
                separators=(",", ":"),
                default=_decimal_text,
            ).encode()
        except TypeError as error:
            raise ValueError(f"the event cannot be written as JSON: {error}") from error
    else:
        payload = _packed(event)
    if len(payload) > MAX_EVENT_BYTES:
        raise ValueError(f"the event has {len(payload)} bytes; at most {MAX_EVENT_BYTES} are sent")
    return payload


def decode(payload: bytes) -> dict[str, Any]:
    """Decode an event from JSON or MessagePack; the first byte decides which. Raises ValueError if
    the bytes hold no map. MessagePack needs the package msgpack."""
    try:
        if payload[:1].isspace() or payload[:1] == b"{":
            event = json.loads(payload)
        else:
            import msgpack

            event = msgpack.unpackb(payload, strict_map_key=False)
    except Exception as error:  # msgpack raises a dozen types
        raise ValueError(f"not an event: {error}") from error
    if not isinstance(event, dict):
        raise ValueError("not an event: it is not a map")  # noqa: TRY004 - as documented
    return event


def _packed(event: Mapping[str, Any]) -> bytes:
    import msgpack  # Not a dependency of the client.

    try:
        packed: bytes = msgpack.packb(dict(event), default=_decimal_text)
    except TypeError as error:
        raise ValueError(f"the event cannot be written as MessagePack: {error}") from error
    return packed


def _decimal_text(value: object) -> str:
    """A Decimal without an exponent, which goald does not read. TypeError for other types."""
    if not isinstance(value, Decimal):
        raise TypeError(f"Object of type {type(value).__name__} is not serializable")
    if not value.is_finite() or abs(value.adjusted()) > _MAX_DECIMAL_EXPONENT:
        raise ValueError(f"{value} is not an amount that goald reads")
    return format(value, "f")


def _checked_id(name: str, given: object) -> str:
    value = id_text(given)
    if value is None or not 1 <= len(value) <= MAX_ID_CHARACTERS:
        raise ValueError(f"{name} must be a string of 1 to {MAX_ID_CHARACTERS} characters")
    if NOT_IN_IDS.search(value):
        raise ValueError(f"{name} contains a control or invisible character")
    if len(value.encode()) > MAX_ID_BYTES:
        raise ValueError(f"{name} has more than {MAX_ID_BYTES} bytes in UTF-8")
    return value
