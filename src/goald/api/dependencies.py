"""The services that the API uses, created by `runtime.wiring.api`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry

from goald.api.admission.places import WorkPlaces
from goald.api.admission.starts import StartAdmission
from goald.api.body_memory import BodyMemory
from goald.api.executions.answers import AnswerWaiter
from goald.api.metrics_text import MetricsText
from goald.api.ports import (
    AuditReader,
    ContactStore,
    EnrollmentLookup,
    ExecutionRecords,
    Explainer,
    Health,
    IdempotencyStore,
    Quotas,
    RecordReader,
    StatisticsReader,
    TokenVerifier,
    WebhookSecrets,
)
from goald.api.publishing import TenantPublisher
from goald.api.rejections import RejectionLimiter
from goald.api.signed_bodies import SignedBodyReader
from goald.api.sources.compiled import CompiledSources
from goald.api.sources.opened import OpenedSources
from goald.api.sources.processing import DeliveryProcessor
from goald.api.sources.receiver import SourceReceiver
from goald.configuration.service import ConfigurationService
from goald.metrics.api import ApiMetrics
from goald.ports.clock import Clock
from goald.ports.sources.deliveries import DeliveryLog
from goald.ports.sources.store import SourceStore
from goald.settings import ApiSettings


@dataclass(frozen=True, slots=True)
class AccessServices:
    """Authentication of callers, and the quotas of their tenants."""

    tokens: TokenVerifier
    webhook_secrets: WebhookSecrets
    bodies: BodyMemory
    """For the bodies of callers with a token."""
    signed_bodies: SignedBodyReader
    rejections: RejectionLimiter
    quotas: Quotas


@dataclass(frozen=True, slots=True)
class EventServices:
    """The services of the routes that send events."""

    publisher: TenantPublisher
    starts: StartAdmission
    explainer: Explainer
    explain_places: WorkPlaces
    idempotency: IdempotencyStore


@dataclass(frozen=True, slots=True)
class SourceServices:
    """The services of sources and their deliveries."""

    store: SourceStore
    opened: OpenedSources
    compiled: CompiledSources
    processor: DeliveryProcessor
    receiver: SourceReceiver
    deliveries: DeliveryLog


@dataclass(frozen=True, slots=True)
class ExecutionServices:
    """The executions of workflows, and the answers to requests about them."""

    records: ExecutionRecords
    answers: AnswerWaiter


@dataclass(frozen=True, slots=True)
class Readers:
    """Read access to what was recorded."""

    statistics: StatisticsReader
    records: RecordReader
    enrollments: EnrollmentLookup
    audit: AuditReader
    places: WorkPlaces
    """For the lists."""
    definition_places: WorkPlaces
    """For the validation of definitions."""
    contacts: ContactStore


@dataclass(frozen=True, slots=True)
class Operations:
    """Health, metrics and shutdown."""

    health: Health
    own_metrics: CollectorRegistry
    """The metrics of the API itself."""
    metrics_text: MetricsText
    """Served by `/metrics`."""
    close: Callable[[], Awaitable[None]]
    """Closes every connection of the dependencies; never raises. Called last."""


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Passed to `app.create_app`, which gives it to every route."""

    settings: ApiSettings
    clock: Clock
    configuration: ConfigurationService
    access: AccessServices
    events: EventServices
    executions: ExecutionServices
    sources: SourceServices
    readers: Readers
    operations: Operations


async def dependencies_of(request: Request) -> Dependencies:
    """Return the dependencies of the application that serves the request."""
    dependencies: Dependencies = request.app.state.dependencies
    return dependencies


Deps = Annotated[Dependencies, Depends(dependencies_of)]
"""The parameter type for a route that uses the dependencies."""


async def _metrics_of(request: Request) -> ApiMetrics:
    metrics: ApiMetrics = request.app.state.metrics
    return metrics


Metrics = Annotated[ApiMetrics, Depends(_metrics_of)]
"""The parameter type for a route that counts its own quantity."""
