"""Permissions of webhooks: the events of a signed request that its provider may send."""

from collections import Counter
from dataclasses import replace

import orjson

from goald.api.ports import Caller
from goald.domain.credentials.webhooks import NotGranted
from goald.pipeline.intake import AcceptedEvent, Intake, RefusedEvent

_MAX_ECHO = 100
"""The characters of a value that a reason shows, so that a response is not larger than its
request."""


def permitted(found: Intake, caller: Caller) -> tuple[Intake, Counter[NotGranted]]:
    """Move the accepted events that the caller may not send to the refused ones, in the order of
    the request. Also returns their number by the attribute that is not granted. A caller without
    a grant, which is one with a token, may send every event."""
    if caller.grant is None:
        return found, Counter()
    accepted: list[AcceptedEvent] = []
    refused = list(found.refused)
    counts: Counter[NotGranted] = Counter()
    for event in found.accepted:
        # The intake has validated these bytes, and refuses duplicate keys, so that every reader
        # finds the same type and source in them.
        attributes = orjson.loads(event.payload)
        event_type, source = attributes["type"], attributes["source"]
        attribute = caller.grant.refuses(event_type, source)
        if attribute is None:
            accepted.append(event)
            continue
        counts[attribute] += 1
        given = event_type if attribute == "type" else source
        reason = f"{attribute}: this webhook may not send {given[:_MAX_ECHO]!a}"
        refused.append(RefusedEvent(event.index, attributes["id"], reason, False))
    refused.sort(key=lambda event: event.index)
    return replace(found, accepted=accepted, refused=refused), counts
