"""Permissions of callers: the events that the provider of a signed request, or the bearer of a
token, may send."""

from collections import Counter
from dataclasses import replace
from typing import Final

from goald.api.ports import Caller
from goald.domain.credentials.webhooks import NotGranted
from goald.domain.event_types import is_reserved
from goald.pipeline.intake import AcceptedEvent, Intake, RefusedEvent

CONTACTS_SCOPE: Final = "contacts:edit"
CONTACT_TYPES: Final = frozenset({"contact.updated", "contact.merged", "contact.deleted"})
"""The types of events that change or delete a contact."""

_MAX_ECHO: Final = 100
"""The characters of a value that a reason shows, so that a response is not larger than its
request."""


def permitted(found: Intake, caller: Caller) -> tuple[Intake, Counter[NotGranted]]:
    """Move the accepted events that the caller may not send to the refused ones, in the order of
    the request. Also returns their number by the attribute that is not granted. Reserved types are
    refused to every caller (X13). A caller without a grant, which is one with a token, needs the
    scope contacts:edit for events that change or delete a contact."""
    counts: Counter[NotGranted] = Counter()

    def reason(event: AcceptedEvent) -> str | None:
        if is_reserved(event.type):
            return f"type: {_echo(event.type)} is reserved for goald"
        if caller.grant is None:
            is_allowed = event.type not in CONTACT_TYPES or CONTACTS_SCOPE in caller.scopes
            return None if is_allowed else f"type: {event.type} needs the scope {CONTACTS_SCOPE}"
        attribute = caller.grant.refuses(event.type, event.source)
        if attribute is None:
            return None
        counts[attribute] += 1
        given = event.type if attribute == "type" else event.source
        return f"{attribute}: this webhook may not send {_echo(given)}"

    reasons = [reason(event) for event in found.accepted]
    if not any(reasons):
        return found, counts
    refused = [
        RefusedEvent(event.index, event.id, why, False)
        for event, why in zip(found.accepted, reasons, strict=True)
        if why is not None
    ]
    accepted = [event for event, why in zip(found.accepted, reasons, strict=True) if why is None]
    refused = sorted([*found.refused, *refused], key=lambda event: event.index)
    return replace(found, accepted=accepted, refused=refused), counts


def _echo(given: str) -> str:
    return f"{given[:_MAX_ECHO]!a}"
