"""The tenant of an event that may be invalid."""

import json

import msgpack

from goald.domain.ids import id_text, is_id


def event_tenant(event: bytes) -> str | None:
    """The tenant of an event in JSON or MessagePack. None if it cannot be read or is no valid id.
    Blocks for up to a millisecond if the event is large."""
    try:
        if event[:1].isspace() or event[:1] == b"{":
            decoded = json.loads(event)
        else:
            decoded = msgpack.unpackb(event, strict_map_key=False)
    except Exception:  # msgpack raises a dozen types
        return None
    tenant = decoded.get("tenantid") if isinstance(decoded, dict) else None
    text = id_text(tenant)
    return text if text is not None and is_id(text) else None
