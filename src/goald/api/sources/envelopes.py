"""The events of a delivery, as the envelopes that the intake reads."""

from collections.abc import Sequence
from typing import Any

import orjson

from goald.domain.times import rfc3339
from goald.sources.mapping.results import MappedEvent


def envelope(event: MappedEvent, contact: str, source: str, received_at_us: int) -> dict[str, Any]:
    """Return an event about a contact. `source`: the name of the source, unless the event has its
    own. The time of arrival counts if the event has none (E20)."""
    return {
        "id": event.id,
        "source": event.source if event.source is not None else source,
        "type": event.type,
        "time": rfc3339(event.time_us if event.time_us is not None else received_at_us),
        "data": {**event.data, "contact_id": contact},
    }


def encoded(envelopes: Sequence[dict[str, Any]]) -> bytes:
    """Return envelopes as the JSON list of a request."""
    return orjson.dumps(envelopes)
