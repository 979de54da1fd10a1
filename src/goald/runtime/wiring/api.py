"""The adapters behind the ports of the API.

Separate from `wiring.daemon`, because the actors do not need these imports.
"""

import contextlib
from collections.abc import Callable

from prometheus_client import CollectorRegistry
from redis.exceptions import RedisError

from goald.adapters.postgres.records.audit import PostgresAuditTrail
from goald.adapters.postgres.records.contacts import PostgresContacts
from goald.adapters.postgres.records.executions.reader import PostgresExecutionRecords
from goald.adapters.postgres.records.projection import PostgresContactStore
from goald.adapters.postgres.records.reader import PostgresRecords
from goald.adapters.postgres.records.statistics import PostgresStatistics
from goald.adapters.postgres.tenants import TenantPool
from goald.adapters.postgres.webhook_secrets import PostgresWebhookSecrets
from goald.adapters.redis.connect import connect, service_errors
from goald.adapters.redis.events.levels import RedisStreamLevels
from goald.adapters.redis.idempotency import RedisIdempotency
from goald.adapters.redis.quotas import RedisQuotas
from goald.adapters.redis.throttle import RedisTenantThrottle
from goald.api.admission.places import WorkLimits, WorkPlaces
from goald.api.admission.starts import StartAdmission
from goald.api.admission.streams import StreamAdmission
from goald.api.admission.throttle import ThrottleAdmission
from goald.api.auth.jwks import JwksKeys
from goald.api.auth.tokens import JwtVerifier, Secret
from goald.api.body_memory import BodyMemory
from goald.api.dependencies import (
    AccessServices,
    Dependencies,
    EventServices,
    ExecutionServices,
    Operations,
    Readers,
)
from goald.api.executions.answers import AnswerWaiter
from goald.api.metrics_text import MetricsText
from goald.api.publishing import TenantPublisher
from goald.api.rejections import RejectionLimiter
from goald.api.signed_bodies import SignedBodyReader
from goald.client import Publisher
from goald.domain.errors import GoaldError, SettingsError
from goald.metrics.api import AdmissionMetrics
from goald.pipeline.explain import Explain
from goald.pipeline.start_check import StartCheck
from goald.ports.clock import Clock
from goald.runtime.http.connections import ConnectionLimits, available_connections
from goald.runtime.http.health import ServicesHealth
from goald.runtime.wiring.daemon import configuration_service, system_clock
from goald.runtime.wiring.secrets import keyring
from goald.runtime.wiring.sources import source_services
from goald.settings import HOW_TO_CHECK_TOKENS, ApiSettings, Settings, TokenSettings

CLOSE_SECONDS = 1.0
EXPLAINED_ACTIVE = 100
"""Active enrollments in a response of explain, so that it and its work are bounded (D8)."""
EXPLAINED_ENDED = 50
DEFINITIONS = WorkLimits(total=2, per_tenant=1, waiting=16, wait_s=4.0)
"""The validation of the largest definition takes a thread up to a second (D8)."""
LISTS = WorkLimits(total=8, per_tenant=2, waiting=32, wait_s=2.0)
"""A page of a list takes the API's process several milliseconds (D8)."""


def api_dependencies(
    settings: Settings,
    *,
    registry: CollectorRegistry | None = None,
    own_metrics: CollectorRegistry | None = None,
    not_ready_reasons: Callable[[], list[str]] = list,
) -> Dependencies:
    """The dependencies of `api.app.create_app`, over the settings' Redis and Postgres.

    `own_metrics`: where the API counts; a new registry if None. `registry`: what /metrics serves;
    that of `own_metrics` if None. `not_ready_reasons`: why the instance
    is not ready, apart from those two servers. Connects on first use; bound to the event loop
    that uses it first; `Operations.close` closes it. Raises SettingsError if the settings do
    not say how to check tokens, or if a key of GOALD_SECRETS_KEYS is invalid.
    """
    tokens = settings.tokens
    if tokens is None:
        raise SettingsError(f"The API cannot check tokens: {HOW_TO_CHECK_TOKENS}.")
    own_metrics = own_metrics if own_metrics is not None else CollectorRegistry()
    clock = system_clock()
    pool = TenantPool(settings.postgres.api_dsn, settings.api.connections)
    configuration = configuration_service(
        pool,
        settings.redis.url,
        catalog=settings.catalog,
        max_workflows=settings.max_workflows,
    )
    events = Publisher(settings.redis.url)
    contacts = PostgresContacts(pool)
    executions = PostgresExecutionRecords(pool)
    start_check = StartCheck(contacts, max_active=settings.max_enrollments_per_contact)
    idempotency = RedisIdempotency(settings.redis.url, kept_seconds=settings.erasure)
    keys = _keys(tokens, clock)
    quotas = RedisQuotas(
        settings.redis.url,
        clock,
        requests=settings.api.quota_requests,
        events=settings.api.quota_events,
        bytes_=settings.api.quota_bytes,
    )
    levels = RedisStreamLevels(settings.redis.url)
    throttle = RedisTenantThrottle(settings.redis.url)
    admission_metrics = AdmissionMetrics(own_metrics)
    admissions = (
        ThrottleAdmission(throttle, clock, admission_metrics),
        StreamAdmission(levels, clock, admission_metrics, max_bytes=settings.api.stream_bytes),
    )
    publisher = TenantPublisher(events, admissions)
    sources = source_services(settings, pool, clock, quotas, publisher)
    redis = RedisPing(settings.redis.url)

    async def ping_postgres() -> None:
        async with pool.connection() as connection:
            await connection.execute("SELECT 1")

    async def close() -> None:
        # Events that cannot be sent were not confirmed; connections end with the process anyway.
        with contextlib.suppress(GoaldError, RedisError, OSError):
            await events.aclose(patience_s=CLOSE_SECONDS)
        for dependency in (
            configuration,
            idempotency,
            redis,
            quotas,
            levels,
            throttle,
            keys,
            sources.certificates,
            sources.deliveries,
            pool,
        ):
            with contextlib.suppress(GoaldError, RedisError, OSError):
                await dependency.close()

    return Dependencies(
        settings=settings.api,
        clock=clock,
        configuration=configuration,
        access=AccessServices(
            tokens=JwtVerifier(tokens, keys),
            webhook_secrets=PostgresWebhookSecrets(pool, keyring(settings)),
            bodies=BodyMemory(),
            signed_bodies=SignedBodyReader(),
            rejections=RejectionLimiter(clock, settings.api.address_rejections),
            quotas=quotas,
        ),
        events=EventServices(
            publisher=publisher,
            starts=StartAdmission(start_check, clock, admission_metrics),
            explainer=Explain(
                PostgresContacts(pool, most_active=EXPLAINED_ACTIVE, most_ended=EXPLAINED_ENDED),
                start_check,
                clock,
                clock_skew_us=round(settings.clock_skew * 1e6),
                late_us=round(settings.late * 1e6),
            ),
            explain_places=WorkPlaces("explanations"),
            idempotency=idempotency,
        ),
        executions=ExecutionServices(executions, AnswerWaiter(executions.answers)),
        sources=sources.services,
        readers=Readers(
            statistics=PostgresStatistics(pool, clock),
            records=PostgresRecords(pool),
            enrollments=contacts,
            audit=PostgresAuditTrail(pool),
            places=WorkPlaces("lists", LISTS),
            definition_places=WorkPlaces("definitions", DEFINITIONS),
            contacts=PostgresContactStore(pool),
        ),
        operations=Operations(
            health=ServicesHealth(
                {"Postgres": ping_postgres, "Redis": redis.ping}, clock, not_ready_reasons
            ),
            own_metrics=own_metrics,
            metrics_text=MetricsText(registry if registry is not None else own_metrics, clock),
            close=close,
        ),
    )


def connection_limits(settings: ApiSettings) -> ConnectionLimits:
    """The limits on connections. Raises the limit of open files as far as allowed."""
    return ConnectionLimits(
        total=available_connections(),
        per_address=settings.address_connections,
        proxies=settings.proxies,
    )


class RedisPing:
    """Checks that Redis answers."""

    def __init__(self, url: str) -> None:
        self._client = connect(url)

    async def ping(self) -> None:
        """Raises ServiceUnavailable."""
        async with service_errors():
            await self._client.ping()

    async def close(self) -> None:
        await self._client.aclose()


def _keys(settings: TokenSettings, clock: Clock) -> Secret | JwksKeys:
    """The keys for the settings' algorithm: a secret for HS256, else a JWKS URL."""
    if settings.secret is not None:
        return Secret(settings.secret.get_secret_value())
    if settings.jwks_url is None:
        raise SettingsError(f"The API cannot check tokens: {HOW_TO_CHECK_TOKENS}.")
    return JwksKeys(settings.jwks_url, settings.algorithm, clock)
