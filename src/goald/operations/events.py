"""Reads attributes of an event, for display and filters. Never raises."""

from typing import Any

from goald.client.envelope import decode


def decoded(payload: bytes) -> dict[str, Any] | None:
    """The event, or None if the payload is neither JSON nor MessagePack with a map."""
    try:
        return decode(payload)
    except ValueError:
        return None


def tenant_of(payload: bytes) -> str | None:
    """The event's tenant, or None if it cannot be read."""
    return _text(payload, "tenantid")


def type_of(payload: bytes) -> str | None:
    """The event's type, or None if it cannot be read."""
    return _text(payload, "type")


def _text(payload: bytes, attribute: str) -> str | None:
    event = decoded(payload)
    value = None if event is None else event.get(attribute)
    return value if isinstance(value, str) else None
