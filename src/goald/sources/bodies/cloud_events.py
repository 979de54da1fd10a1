"""CloudEvents over HTTP in the structured, batched and binary modes, as envelopes of one form."""

import re
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from goald.domain.errors import InvalidEvent
from goald.sources.bodies.json_text import read_json
from goald.sources.delivery import Delivery
from goald.sources.schemes.comparison import decode_base64

REQUIRED: Final = ("specversion", "id", "source", "type")
_BATCH: Final = "application/cloudevents-batch"
_STRUCTURED: Final = "application/cloudevents"
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_JSON: Final = re.compile(r"(application|text)/([a-z0-9.+-]*\+)?json", re.IGNORECASE)


def read_cloud_events(delivery: Delivery) -> list[dict[str, Any]]:
    """Return the envelopes of a delivery: attributes and `data`, with `data_base64` decoded.

    Structured events that are sent as `application/json` count as structured. An entry of a batch
    that is not an event is returned as it is, because one fault must not refuse the others: see
    `fault_of`. Raises InvalidEvent for a body that is not JSON, and for another format than JSON.
    """
    content_type = (delivery.header("content-type") or "").strip()
    media = content_type.partition(";")[0].strip().lower()
    if media.startswith(_BATCH):
        events = read_json(delivery.body) if media == _BATCH + "+json" else _other_format(media)
        if not isinstance(events, list):
            raise InvalidEvent("a batch of CloudEvents must be a JSON array")
        return [_with_data(each) for each in events]
    if media.startswith(_STRUCTURED):
        event = read_json(delivery.body) if media == _STRUCTURED + "+json" else _other_format(media)
        return [_with_data(event)]
    if delivery.header("ce-specversion") is not None:
        return [_binary(delivery, content_type)]
    event = read_json(delivery.body)
    return [_with_data(each) for each in event] if isinstance(event, list) else [_with_data(event)]


def fault_of(event: Any) -> str | None:
    """Return why a value is not a CloudEvent; None if it is one."""
    if not isinstance(event, dict):
        return "it is not an object"
    for name in REQUIRED:
        if not isinstance(event.get(name), str) or not event[name]:
            return f"the attribute {name} is missing"
    if event["specversion"] not in ("1.0", "0.3"):
        return f"specversion {event['specversion'][:16]} is not supported: send 1.0"
    return None


def _other_format(media: str) -> Any:
    raise InvalidEvent(f"{media[:64]} is not supported: send CloudEvents as JSON")


def _with_data(event: Any) -> Any:
    if not isinstance(event, dict) or not isinstance(event.get("data_base64"), str):
        return event
    decoded = decode_base64(event["data_base64"])
    if decoded is None:
        return {**event, "data": None}
    return {**event, "data": _data(decoded, str(event.get("datacontenttype") or ""))}


def _binary(delivery: Delivery, content_type: str) -> dict[str, Any]:
    event: dict[str, Any] = {
        name.removeprefix("ce-"): _header_text(value)
        for name, value in delivery.headers.items()
        if name.startswith("ce-")
    }
    event["data"] = _data(delivery.body, content_type)
    if content_type:
        event["datacontenttype"] = content_type
    return event


def _data(data: bytes, content_type: str) -> Any:
    """The data of an event: the value of JSON, else text; None if there is none."""
    if not data:
        return None
    if not content_type or _JSON.match(content_type):
        return read_json(data)
    return data.decode("utf-8", "replace")


def _header_text(value: str) -> str:
    """Undo the quoting and the percent-encoding of a header's value, once each."""
    quoted = _QUOTED.fullmatch(value)
    if quoted:
        value = re.sub(r"\\(.)", r"\1", quoted[1])
    try:
        return unquote_to_bytes(value.encode("latin-1", "replace")).decode()
    except UnicodeDecodeError:
        raise InvalidEvent("a ce- header is not UTF-8 after percent-decoding") from None
