"""Sources, deliveries and tested events of `goald sources`, for a person and for a program. No
secret and no key is in them."""

import json
from typing import TYPE_CHECKING, Any

from goald.cli.output.printing import say

if TYPE_CHECKING:
    from goald.api.sources.processing import PreparedEvent
    from goald.domain.records.deliveries import DeliveryRecord
    from goald.operations.sources import SourceDescription


def source_json(each: "SourceDescription") -> dict[str, Any]:
    """Return a source as a JSON object, with the fields of the API."""
    from goald.api.models.sources import SourceAnswer

    return SourceAnswer.of(each.entry, each.source).model_dump(exclude={"url"})


def delivery_json(record: "DeliveryRecord") -> dict[str, Any]:
    """Return a delivery as a JSON object, with the fields of the API."""
    from goald.api.models.sources import DeliveryAnswer

    return DeliveryAnswer.of(record).model_dump()


def source_row(each: "SourceDescription") -> list[object]:
    """Return the cells of a source in a list."""
    entry = each.entry
    return [entry.name, entry.preset, entry.secret_count, _types(each)]


def source_fields(each: "SourceDescription") -> list[tuple[str, object]]:
    """Return the rows of one source: names of fields and their values."""
    from goald.domain.times import rfc3339

    entry, previous_us = each.entry, each.entry.previous_key_expires_at_us
    return [
        ("source", entry.name),
        ("preset", entry.preset),
        ("secrets", entry.secret_count),
        ("events", _types(each)),
        *(
            (f"overrides: {key}", json.dumps(value, ensure_ascii=False))
            for key, value in entry.overrides.items()
        ),
        ("created", rfc3339(entry.created_at_us)),
        ("updated", rfc3339(entry.updated_at_us)),
        ("key since", rfc3339(entry.key_created_at_us)),
        *([("previous key until", rfc3339(previous_us))] if previous_us is not None else []),
        *(("note", note) for note in (each.source.notes if each.source is not None else ())),
    ]


def _types(each: "SourceDescription") -> str:
    if each.source is None:
        return "none: this release cannot use the source; set it again"
    return ", ".join(sorted(each.source.types))


def delivery_row(record: "DeliveryRecord") -> list[object]:
    """Return the cells of a delivery: its events, and the reasons of events that were not sent."""
    from goald.domain.times import rfc3339

    events = [
        f"{each.type} of {each.contact or 'an unknown contact'}: {each.outcome}"
        for each in record.events
    ]
    if record.event_count > len(record.events):
        events.append(f"{record.event_count - len(record.events)} more")
    reasons = dict.fromkeys([each.reason for each in record.events if each.reason])
    texts = [*reasons, *record.notes]
    if record.outcome in ("unverified", "handshake"):
        texts = [record.verification, *texts]
    return [rfc3339(record.received_at_us), record.outcome, ", ".join(events), "; ".join(texts)]


_WOULD = {
    "sent": "would be sent",
    "ignored": "would be ignored",
    "dead": "would be dead-lettered",
    "refused": "would be refused",
}


def print_event(prepared: "PreparedEvent", *, is_verified: bool) -> None:
    """Print an event that a payload means, and whether it would be sent."""
    from goald.domain.times import rfc3339

    event = prepared.event
    contact = prepared.contact if prepared.contact is not None else "an unknown contact"
    at = "the time of arrival" if event.time_us is None else rfc3339(event.time_us)
    would = _WOULD[prepared.outcome]
    if prepared.outcome in ("sent", "dead") and not is_verified:
        would += " if it were verified"
    reason = f": {prepared.reason}" if prepared.reason else ""
    say(f"{event.type} {event.id} of {contact} at {at}: {would}{reason}")
    say(f"  rule: {event.rule}")
    for key, value in event.data.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        say(f"  {key}: {text}")
