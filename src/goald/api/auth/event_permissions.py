"""Permissions of callers: the events that the provider of a signed request, or the bearer of a
token, may send."""

from collections import Counter
from dataclasses import replace
from typing import Final

from goald.api.ports import Caller
from goald.domain.credentials.webhooks import NotGranted
from goald.pipeline.intake import AcceptedEvent, Intake, RefusedEvent

CONTACTS_SCOPE: Final = "contacts:edit"
CONTACT_TYPES: Final = frozenset({"contact.updated", "contact.merged", "contact.deleted"})
"""The types of events that change or delete a contact."""

_MAX_ECHO: Final = 100
"""The characters of a value that a reason shows, so that a response is not larger than its
request."""


def permitted(found: Intake, caller: Caller) -> tuple[Intake, Counter[NotGranted]]:
    """Move the accepted events that the caller may not send to the refused ones, in the order of
    the request. Also returns their number by the attribute that is not granted. A caller without
    a grant, which is one with a token, needs the scope contacts:edit for events that change or
    delete a contact."""
    if caller.grant is None:
        return _without_contacts(found, caller), Counter()
    accepted: list[AcceptedEvent] = []
    refused = list(found.refused)
    counts: Counter[NotGranted] = Counter()
    for event in found.accepted:
        attribute = caller.grant.refuses(event.type, event.source)
        if attribute is None:
            accepted.append(event)
            continue
        counts[attribute] += 1
        given = event.type if attribute == "type" else event.source
        reason = f"{attribute}: this webhook may not send {given[:_MAX_ECHO]!a}"
        refused.append(RefusedEvent(event.index, event.id, reason, False))
    refused.sort(key=lambda event: event.index)
    return replace(found, accepted=accepted, refused=refused), counts


def _without_contacts(found: Intake, caller: Caller) -> Intake:
    """Move the events that change or delete a contact to the refused ones, if the caller has no
    scope for them."""
    if CONTACTS_SCOPE in caller.scopes:
        return found
    accepted: list[AcceptedEvent] = []
    refused = list(found.refused)
    for event in found.accepted:
        if event.type not in CONTACT_TYPES:
            accepted.append(event)
            continue
        reason = f"type: {event.type} needs the scope {CONTACTS_SCOPE}"
        refused.append(RefusedEvent(event.index, event.id, reason, False))
    if len(accepted) == len(found.accepted):
        return found
    refused.sort(key=lambda event: event.index)
    return replace(found, accepted=accepted, refused=refused)
