"""All that the API is made of, put together by `runtime.wiring`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from goald.api.ports import (
    AuditTrail,
    Contacts,
    Explainer,
    Health,
    Idempotency,
    Quotas,
    Records,
    StatisticsReader,
    TokenVerifier,
    WebhookSecrets,
)
from goald.api.publishing import Publishing
from goald.api.signed_bodies import SignedBodies
from goald.configuration.service import ConfigurationService
from goald.ports.clock import Clock
from goald.settings import ApiSettings


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Handed to `app.create_app`, and by it to every route."""

    settings: ApiSettings
    clock: Clock
    registry: CollectorRegistry
    """What `/metrics` serves, beside what the API counts itself."""
    configuration: ConfigurationService
    statistics: StatisticsReader
    records: Records
    contacts: Contacts
    audit: AuditTrail
    events: Publishing
    explainer: Explainer
    secrets: WebhookSecrets
    signed_bodies: SignedBodies
    tokens: TokenVerifier
    quotas: Quotas
    idempotency: Idempotency
    health: Health
    close: Callable[[], Awaitable[None]]
    """Ends every connection of these parts; never raises. The application calls it last."""
