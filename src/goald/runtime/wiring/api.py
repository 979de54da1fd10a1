"""The other half of `runtime.wiring`: what stands behind the ports of the API.

A file of its own, since the daemon's actors have no use for what it imports.
"""

import contextlib
from collections.abc import Callable

from prometheus_client import CollectorRegistry
from redis.exceptions import RedisError

from goald.adapters.postgres.records.audit import PostgresAuditTrail
from goald.adapters.postgres.records.contacts import PostgresContacts
from goald.adapters.postgres.records.reader import PostgresRecords
from goald.adapters.postgres.records.statistics import PostgresStatistics
from goald.adapters.postgres.tenants import TenantPool
from goald.adapters.postgres.webhook_secrets import PostgresWebhookSecrets
from goald.adapters.redis.idempotency import RedisIdempotency
from goald.adapters.redis.quotas import RedisQuotas
from goald.api.auth.jwks import JwksKeys
from goald.api.auth.tokens import JwtVerifier, Secret
from goald.api.dependencies import Dependencies
from goald.api.publishing import Publishing
from goald.api.signed_bodies import SignedBodies
from goald.client import Publisher
from goald.domain.errors import GoaldError, SettingsError
from goald.pipeline.explain import Explain
from goald.ports.clock import Clock
from goald.runtime.http.health import ServicesHealth
from goald.runtime.wiring.daemon import configuration_service, system_clock
from goald.settings import Settings, TokenSettings

CLOSE_SECONDS = 1.0
WHAT_TO_SET = (
    "set GOALD_JWT_SECRET (32 characters or more), or GOALD_JWT_ALGORITHM=RS256 and GOALD_JWKS_URL"
)


def api_dependencies(
    settings: Settings,
    *,
    registry: CollectorRegistry | None = None,
    troubles: Callable[[], list[str]] = list,
) -> Dependencies:
    """Everything that `api.app.create_app` takes, over the settings' Redis and Postgres.

    `registry`: what /metrics serves; one of its own where None. `troubles`: more reasons not
    to be ready than those two. Connects when it is used; bound to the event loop that uses it
    first; `Dependencies.close` ends it. Raises SettingsError where tokens cannot be checked.
    """
    tokens = settings.tokens
    if tokens is None:
        raise SettingsError(f"the API cannot check tokens: {WHAT_TO_SET}")
    clock = system_clock()
    pool = TenantPool(settings.postgres.api_dsn, settings.api.connections)
    configuration = configuration_service(pool, settings.redis.url, catalog=settings.catalog)
    events = Publisher(settings.redis.url)
    contacts = PostgresContacts(pool)
    idempotency = RedisIdempotency(settings.redis.url)
    keys = _keys(tokens, clock)
    quotas = RedisQuotas(
        settings.redis.url,
        clock,
        requests=settings.api.quota_requests,
        events=settings.api.quota_events,
    )
    health = ServicesHealth(pool, settings.redis.url, clock, troubles)

    async def close() -> None:
        # What could not be sent was not promised, and what does not close ends with the process.
        with contextlib.suppress(GoaldError, RedisError, OSError):
            await events.aclose(patience_s=CLOSE_SECONDS)
        for part in (configuration, idempotency, health, quotas, keys, pool):
            with contextlib.suppress(GoaldError, RedisError, OSError):
                await part.close()

    return Dependencies(
        settings=settings.api,
        clock=clock,
        registry=registry if registry is not None else CollectorRegistry(),
        configuration=configuration,
        statistics=PostgresStatistics(pool, clock),
        records=PostgresRecords(pool),
        audit=PostgresAuditTrail(pool),
        events=Publishing(events),
        contacts=contacts,
        explainer=Explain(contacts, clock, clock_skew_us=round(settings.clock_skew * 1e6)),
        secrets=PostgresWebhookSecrets(pool),
        signed_bodies=SignedBodies(),
        tokens=JwtVerifier(tokens, keys),
        quotas=quotas,
        idempotency=idempotency,
        health=health,
        close=close,
    )


def _keys(settings: TokenSettings, clock: Clock) -> Secret | JwksKeys:
    """By the algorithm: `Settings.tokens` gives what fits it, and never both."""
    if settings.secret is not None:
        return Secret(settings.secret.get_secret_value())
    if settings.jwks_url is None:
        raise SettingsError(f"the API cannot check tokens: {WHAT_TO_SET}")
    return JwksKeys(settings.jwks_url, settings.algorithm, clock)
