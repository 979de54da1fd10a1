"""From a verified delivery to its events on the streams."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson

from goald.api.ports import Quotas
from goald.api.publishing import TenantPublisher, payload_bytes, size_units, units
from goald.api.sources.contacts import ContactResolver, KnownContact, OnUnknown
from goald.api.sources.envelopes import encoded, envelope
from goald.domain.event_types import PROCESSED_TYPES
from goald.domain.records.deliveries import EventOutcome
from goald.domain.times import rfc3339
from goald.metrics.api import ApiMetrics
from goald.pipeline.intake import AcceptedEvent, intake
from goald.sources.compiled import Source
from goald.sources.delivery import Delivery
from goald.sources.mapping.results import MappedEvent

_MAX_LIST: Final = 1_000
"""The events that one call of the intake takes."""


@dataclass(frozen=True, slots=True)
class PreparedEvent:
    """An event of a delivery, and its outcome."""

    event: MappedEvent
    contact: str | None
    outcome: EventOutcome
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class PreparedDelivery:
    """The events of a delivery, with those to publish."""

    events: Sequence[PreparedEvent]
    payloads: Sequence[AcceptedEvent]
    notes: Sequence[str]
    is_test: bool


class DeliveryProcessor:
    """Maps deliveries and publishes their events. Bound to one event loop."""

    def __init__(
        self, contacts: ContactResolver, quotas: Quotas, publisher: TenantPublisher
    ) -> None:
        self._contacts = contacts
        self._quotas = quotas
        self._publisher = publisher

    async def prepare(
        self,
        tenant: str,
        name: str,
        source: Source,
        delivery: Delivery,
        delivery_id: str,
        *,
        hints: bool = False,
    ) -> PreparedDelivery:
        """Return the events of a delivery of the source `name`. Publishes nothing. `hints`: see
        `Source.map`. Raises ServiceUnavailable if contacts cannot be looked up."""
        result = source.map(delivery, delivery_id, hints=hints)
        events = [
            await self._with_contact(tenant, event, source.document.contact.on_unknown)
            for event in result.events
        ]
        payloads: list[AcceptedEvent] = []
        sent = [at for at, each in enumerate(events) if each.outcome == "sent"]
        for start in range(0, len(sent), _MAX_LIST):
            places = sent[start : start + _MAX_LIST]
            envelopes = [
                envelope(events[at].event, events[at].contact or "", name, delivery.received_at_us)
                for at in places
            ]
            found = intake(encoded(envelopes), tenant, delivery.received_at_us)
            payloads += found.accepted
            for refused in found.refused:
                at = places[refused.index]
                events[at] = replace(events[at], outcome="refused", reason=refused.reason)
        payloads += [
            _dead(each, tenant, name, delivery.received_at_us)
            for each in events
            if each.outcome == "dead"
        ]
        return PreparedDelivery(events, payloads, result.notes, result.is_test)

    async def publish(self, tenant: str, prepared: PreparedDelivery, metrics: ApiMetrics) -> None:
        """Return when the streams have every event of the delivery, in their order.

        Raises QuotaExceeded, having published nothing, and what `TenantPublisher.publish` raises.
        """
        payloads = prepared.payloads
        if payloads:
            cost = units(payloads)
            await self._quotas.events_and_bytes(tenant, cost, payload_bytes(payloads))
            metrics.count_units(size_units(payloads), cost)
            await self._publisher.publish(tenant, payloads)
        outcomes = [each.outcome for each in prepared.events]
        refused = outcomes.count("refused")
        ignored = outcomes.count("ignored")
        metrics.count_events(len(outcomes) - refused - ignored, ignored, refused)

    async def _with_contact(
        self, tenant: str, event: MappedEvent, on_unknown: OnUnknown
    ) -> PreparedEvent:
        if event.type not in PROCESSED_TYPES:
            reason = f"goald has no use for events of type {event.type} yet"
            return PreparedEvent(event, event.contact.id, "ignored", reason)
        found = await self._contacts.resolve(tenant, event.contact, on_unknown)
        if isinstance(found, KnownContact):
            return PreparedEvent(event, found.id, "sent")
        return PreparedEvent(event, None, "dead" if found.is_dead else "ignored", found.reason)


def _dead(each: PreparedEvent, tenant: str, name: str, received_at_us: int) -> AcceptedEvent:
    """An event that goald dead-letters because it has no contact. It carries nothing personal: the
    deletion of a contact cannot find it."""
    event = each.event
    payload = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source if event.source is not None else name,
        "type": event.type,
        "time": rfc3339(received_at_us if event.time_us is None else event.time_us),
        "tenantid": tenant,
        "data": {"unknown_contact": each.reason},
    }
    return AcceptedEvent(name, orjson.dumps(payload))
