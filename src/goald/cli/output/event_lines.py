"""Exits, notices and dead letters for display: one line each, or JSON."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from goald.redis_keys import DEAD, EXITS

if TYPE_CHECKING:
    from goald.client import TailedEntry


def entry_as_line(entry: "TailedEntry") -> str:
    """One line for a person. Accepts entries that are not events."""
    return _line(entry).replace("\n", "\\n")


def entry_as_json(entry: "TailedEntry") -> dict[str, Any]:
    """The event. For a dead letter its fields, with the event as text."""
    from goald.operations.events import decoded

    if entry.stream != DEAD:
        event = decoded(entry.payload)
        return event if event is not None else {"id": entry.id, "event": None}
    fields: dict[str, Any] = dict(_text_fields(entry))
    fields["delivery_attempts"] = int(fields.get("delivery_attempts", 0))
    return {"dead_id": entry.id, **fields}


def _line(entry: "TailedEntry") -> str:
    from goald.operations.events import decoded, tenant_of

    if entry.stream == DEAD:
        fields = _text_fields(entry)
        return (
            f"{_clock(fields.get('at'))}  {entry.id}  {tenant_of(entry.payload) or '?'}  "
            f"{fields.get('stream', '?')} {fields.get('id', '?')}: {fields.get('reason', '?')}"
        )
    event = decoded(entry.payload)
    if event is None:
        return f"{entry.id} cannot be decoded"
    data = event.get("data")
    if not isinstance(data, dict):
        data = {}
    return _exit(event, data) if entry.stream == EXITS else _notice(event, data)


def _text_fields(entry: "TailedEntry") -> dict[str, str]:
    return {name: value.decode(errors="backslashreplace") for name, value in entry.fields.items()}


def _exit(event: dict[str, Any], data: dict[str, Any]) -> str:
    trigger = data.get("trigger_event")
    by = trigger.get("type") if isinstance(trigger, dict) else None
    latency = _latency(data.get("received_at"), data.get("published_at"))
    return (
        f"{_clock(data.get('published_at') or event.get('time'))}  {event.get('tenantid')}  "
        f"{data.get('contact_id')} leaves {data.get('workflow_id')} "
        f"(enrollment {data.get('enrollment_id')}): {data.get('goal_type')} by {by}{latency}"
    )


def _notice(event: dict[str, Any], data: dict[str, Any]) -> str:
    about = "  ".join(
        f"{name}={data[name]}"
        for name in ("workflow_id", "contact_id", "goal_type", "name")
        if data.get(name) is not None
    )
    return f"{_clock(event.get('time'))}  {event.get('tenantid')}  {event.get('type')}  {about}"


def _clock(moment: object) -> str:
    """The local time of day."""
    found = _moment(moment)
    return found.astimezone().strftime("%H:%M:%S.%f")[:-3] if found else "?"


def _latency(received: object, published: object) -> str:
    begin, end = _moment(received), _moment(published)
    if begin is None or end is None:
        return ""
    return f", {(end - begin).total_seconds() * 1_000:.0f} ms"


def _moment(text: object) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
