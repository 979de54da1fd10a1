"""The receiver: one delivery of a provider, up to its events on the streams."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import uuid4

import orjson
import structlog

from goald.api.ports import Quotas
from goald.api.problems import Unavailable
from goald.api.sources.certificates import CertificateFetcher
from goald.api.sources.compiled import CompiledSources
from goald.api.sources.processing import DeliveryProcessor, PreparedDelivery
from goald.domain.credentials.sources import StoredSource
from goald.domain.errors import GoaldError, InvalidConfiguration, NotFound
from goald.domain.records.deliveries import (
    MAX_EVENTS,
    MAX_NOTES,
    DeliveredEvent,
    DeliveryOutcome,
    DeliveryRecord,
    masked,
    shortened,
)
from goald.metrics.api import ApiMetrics
from goald.ports.sources.deliveries import DeliveryLog
from goald.sources.compiled import Source
from goald.sources.delivery import Delivery
from goald.sources.handshakes import HandshakeResponse
from goald.sources.schemes.contract import Verification

_TEST_ID: Final = "test"
"""The id of a tested delivery, in the ids of events that derive from it."""
MAX_REASONS: Final = 5
"""Reasons in the response to a delivery."""

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ReceiverResponse:
    """The response to a delivery."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TestedDelivery:
    """The result of a delivery that is tested."""

    handshake: HandshakeResponse | None
    verification: Verification
    prepared: PreparedDelivery
    """With the notes about the source's document."""


class SourceReceiver:
    """Receives the deliveries of sources whose key in the path was right. Bound to one event
    loop."""

    def __init__(
        self,
        compiled: CompiledSources,
        certificates: CertificateFetcher,
        processor: DeliveryProcessor,
        quotas: Quotas,
        log: DeliveryLog,
    ) -> None:
        self._compiled = compiled
        self._certificates = certificates
        self._processor = processor
        self._quotas = quotas
        self._log = log

    async def receive(
        self, tenant: str, stored: StoredSource, delivery: Delivery, metrics: ApiMetrics
    ) -> ReceiverResponse | None:
        """Return the response to a delivery, after its events are on the streams; None if it is
        not authentic.

        Raises errors after which the provider should deliver again: QuotaExceeded, TooManyRequests,
        Unavailable, ServiceUnavailable.
        """
        recording = _Recording(self._log, metrics, tenant, stored.entry.name, delivery)
        source = self._source(stored, recording)
        handshake = source.handshake(delivery)
        if handshake is not None:
            recording.add("handshake", handshake.reason)
            return ReceiverResponse(handshake.status, handshake.body, handshake.headers)
        if delivery.method != "POST":
            return ReceiverResponse(405, headers={"Allow": "POST"})
        verification = await self._verify(stored, source, delivery)
        if not verification.verified:
            recording.add("unverified", verification.reason)
            return None
        try:
            prepared = await self._process(tenant, stored, source, delivery, recording.id, metrics)
        except GoaldError as error:
            recording.add("failed", verification.reason, notes=(str(error),))
            raise
        recording.add(_outcome(prepared), verification.reason, prepared)
        return _response(prepared)

    async def test(self, tenant: str, stored: StoredSource, delivery: Delivery) -> TestedDelivery:
        """Return the events that a delivery means, and whether it is authentic. Publishes
        and records nothing. Raises
        InvalidConfiguration or NotFound if this release cannot use the source, and
        ServiceUnavailable."""
        source = self._compiled.of(stored.entry)
        handshake = source.handshake(delivery)
        verification = await self._verify(stored, source, delivery)
        prepared = await self._processor.prepare(
            tenant, stored.entry.name, source, delivery, _TEST_ID, hints=True
        )
        notes = [*source.notes, *prepared.notes]
        return TestedDelivery(handshake, verification, replace(prepared, notes=notes))

    async def _verify(
        self, stored: StoredSource, source: Source, delivery: Delivery
    ) -> Verification:
        """Check whether a delivery is authentic. May fetch a certificate."""
        url = source.scheme.certificate_url(delivery)
        if url is not None:
            delivery = replace(
                delivery,
                certificates=await self._certificates.fetch(url),
                trusted_roots=self._certificates.roots(),
            )
        try:
            secrets = source.parse_secrets(stored.secrets)
        except InvalidConfiguration as error:
            return Verification(False, f"the secrets of the source do not fit its scheme: {error}")
        return source.verify(delivery, secrets, delivery.received_at_us)

    async def _process(
        self,
        tenant: str,
        stored: StoredSource,
        source: Source,
        delivery: Delivery,
        delivery_id: str,
        metrics: ApiMetrics,
    ) -> PreparedDelivery:
        await self._quotas.requests(tenant)
        name = stored.entry.name
        prepared = await self._processor.prepare(tenant, name, source, delivery, delivery_id)
        await self._processor.publish(tenant, prepared, metrics)
        return prepared

    def _source(self, stored: StoredSource, recording: "_Recording") -> Source:
        try:
            return self._compiled.of(stored.entry)
        except (InvalidConfiguration, NotFound) as error:
            # A release with other presets stored it. Its owner must set it again.
            _log.warning("a source cannot be used", source=stored.entry.name, error=str(error))
            recording.add("failed", "not checked", notes=(str(error),))
            raise Unavailable("The source cannot be used by this release of goald") from None


class _Recording:
    """Records the outcome of one delivery."""

    def __init__(
        self, log: DeliveryLog, metrics: ApiMetrics, tenant: str, source: str, delivery: Delivery
    ) -> None:
        self.id = str(uuid4())
        self._log = log
        self._metrics = metrics
        self._place = tenant, source
        self._delivery = delivery

    def add(
        self,
        outcome: DeliveryOutcome,
        verification: str,
        prepared: PreparedDelivery | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        media_type = (self._delivery.header("content-type") or "").partition(";")[0]
        self._metrics.deliveries.labels(outcome).inc()
        self._log.add(
            *self._place,
            DeliveryRecord(
                self.id,
                self._delivery.received_at_us,
                outcome,
                shortened(verification),
                len(self._delivery.body),
                shortened(media_type.strip()),
                prepared is not None and prepared.is_test,
                len(prepared.events) if prepared is not None else 0,
                _delivered(prepared) if prepared is not None else (),
                tuple(map(shortened, (prepared.notes if prepared else notes)[:MAX_NOTES])),
            ),
        )


def _delivered(prepared: PreparedDelivery) -> tuple[DeliveredEvent, ...]:
    return tuple(
        DeliveredEvent(
            each.event.type,
            masked(each.event.id),
            None if each.contact is None else masked(each.contact),
            each.outcome,
            None if each.reason is None else shortened(each.reason),
        )
        for each in prepared.events[:MAX_EVENTS]
    )


def _outcome(prepared: PreparedDelivery) -> DeliveryOutcome:
    return "accepted" if prepared.payloads else "ignored"


def _response(prepared: PreparedDelivery) -> ReceiverResponse:
    sent = sum(each.outcome == "sent" for each in prepared.events)
    reasons = dict.fromkeys(
        [*(each.reason for each in prepared.events if each.reason), *prepared.notes]
    )
    body = {"accepted": sent, "reasons": list(reasons)[:MAX_REASONS]}
    return ReceiverResponse(200, orjson.dumps(body), {"Content-Type": "application/json"})
