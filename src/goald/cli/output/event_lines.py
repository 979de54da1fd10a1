"""Exits, notices and dead letters as a person reads them: one line each."""

from datetime import UTC, datetime
from typing import Any

from goald.cli.follow import StreamEntry
from goald.redis_keys import DEAD, EXITS


def as_line(entry: StreamEntry) -> str:
    """One line, whatever is in the entry."""
    return _line(entry).replace("\n", "\\n")


def _line(entry: StreamEntry) -> str:
    if entry.stream == DEAD:
        return dead_line(entry)
    event = entry.event()
    if event is None:
        return f"{entry.id} cannot be read"
    data = event.get("data")
    if not isinstance(data, dict):
        data = {}
    return _exit(event, data) if entry.stream == EXITS else _notice(event, data)


def as_json(entry: StreamEntry) -> dict[str, Any]:
    """The event itself; of a dead letter its fields, with the event as text."""
    if entry.stream != DEAD:
        event = entry.event()
        return event if event is not None else {"id": entry.id, "event": None}
    fields: dict[str, Any] = {
        name: value.decode(errors="backslashreplace") for name, value in entry.fields.items()
    }
    fields["delivery_attempts"] = int(fields.get("delivery_attempts", 0))
    return {"dead_id": entry.id, **fields}


def dead_line(entry: StreamEntry) -> str:
    """When, of whom, from where, and why."""
    fields = {name: value.decode(errors="backslashreplace") for name, value in entry.fields.items()}
    return (
        f"{_clock(fields.get('at'))}  {entry.id}  {entry.tenant() or '?'}  "
        f"{fields.get('stream', '?')} {fields.get('id', '?')}: {fields.get('reason', '?')}"
    )


def _exit(event: dict[str, Any], data: dict[str, Any]) -> str:
    trigger = data.get("trigger_event")
    by = trigger.get("type") if isinstance(trigger, dict) else None
    took = _took(data.get("received_at"), data.get("published_at"))
    return (
        f"{_clock(data.get('published_at') or event.get('time'))}  {event.get('tenantid')}  "
        f"{data.get('contact_id')} leaves {data.get('workflow_id')} "
        f"(enrollment {data.get('enrollment_id')}): {data.get('goal_type')} by {by}{took}"
    )


def _notice(event: dict[str, Any], data: dict[str, Any]) -> str:
    about = "  ".join(
        f"{name}={data[name]}"
        for name in ("workflow_id", "contact_id", "goal_type", "name")
        if data.get(name) is not None
    )
    return f"{_clock(event.get('time'))}  {event.get('tenantid')}  {event.get('type')}  {about}"


def _clock(moment: object) -> str:
    found = _moment(moment)
    return found.astimezone().strftime("%H:%M:%S.%f")[:-3] if found else "?"


def _took(received: object, published: object) -> str:
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
