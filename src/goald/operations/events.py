"""Reads attributes of an event, for display and filters. Never raises."""

from typing import Any

from goald.client.envelope import decode
from goald.domain.ids import id_text


def decoded(payload: bytes) -> dict[str, Any] | None:
    """The event, or None if the payload is neither JSON nor MessagePack with a map."""
    try:
        return decode(payload)
    except ValueError:
        return None


def tenant_of(payload: bytes) -> str | None:
    """The event's tenant, or None if it cannot be read."""
    event = decoded(payload)
    return None if event is None else id_text(event.get("tenantid"))


def type_of(payload: bytes) -> str | None:
    """The event's type, or None if it cannot be read."""
    event = decoded(payload)
    kind = None if event is None else event.get("type")
    return kind if isinstance(kind, str) else None
