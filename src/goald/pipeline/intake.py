"""Intake: splits the body of an HTTP request into events and validates them before publication.

An accepted event passes `route` and `evaluate` unchanged. So an event whose acceptance a caller
has seen is never dead-lettered because of its content (D4).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from goald import _native
from goald.domain.errors import InvalidEvent


@dataclass(frozen=True, slots=True)
class Start:
    """The start of an enrollment."""

    enrollment: str
    workflow: str
    enrolled_at_us: int


@dataclass(frozen=True, slots=True)
class AcceptedEvent:
    """An event to publish."""

    contact: str
    payload: bytes
    index: int = 0
    """The position in the request, from 0."""
    work: int = 0
    """The work that is known before the event meets the enrollments of its contact, in units of
    about 100 ns."""
    id: str = ""
    source: str = ""
    type: str = ""
    start: Start | None = None
    """If the event starts an enrollment."""


@dataclass(frozen=True, slots=True)
class RefusedEvent:
    """An event that its producer must correct."""

    index: int
    id: str | None
    """The event's own id, if it could be read."""
    reason: str
    names_other_tenant: bool
    """The event is valid, but names another tenant than the caller's."""


@dataclass(frozen=True, slots=True)
class Intake:
    """The events of one request, in order."""

    is_list: bool
    accepted: Sequence[AcceptedEvent]
    refused: Sequence[RefusedEvent]


@dataclass(frozen=True, slots=True)
class EventDefaults:
    """The source and the id of an event that omits them (E20)."""

    source: str
    id: str
    """Of a single event. The events of a list get it with a colon and their position."""


def intake(body: bytes, tenant: str, now_us: int, defaults: EventDefaults | None = None) -> Intake:
    """Validate the events of one tenant's request: a JSON object, or a list of up to 1,000.

    An event without `tenantid` gets this tenant's; an event with another tenant's is refused (D8).
    With `defaults`, an event may also omit its source, its id, and its time, which is then `now_us`
    (E20).
    Raises InvalidEvent, with the reason, if the body is neither an object nor such a list. Does
    not block.
    """
    try:
        given = None if defaults is None else (defaults.source, defaults.id)
        found = _native.intake(body, tenant, now_us, given)
    except ValueError as error:
        raise InvalidEvent(str(error)) from None
    others = set(found.of_other_tenants)
    return Intake(
        is_list=found.is_list,
        accepted=[
            AcceptedEvent(
                contact, payload, index, work, event_id, source, kind, start and Start(*start)
            )
            for index, contact, payload, work, event_id, source, kind, start in found.accepted
        ],
        refused=[
            RefusedEvent(index, event_id, reason, index in others)
            for index, event_id, reason in found.rejected
        ],
    )
