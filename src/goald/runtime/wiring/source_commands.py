"""The adapters behind `goald sources` and the sources of `goald apply`.

Every context manager connects on first use and disconnects at its end.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from goald.adapters.postgres.sources import PostgresSources
from goald.adapters.postgres.tenants import TenantPool
from goald.adapters.redis.deliveries import RedisDeliveries
from goald.adapters.redis.quotas import RedisQuotas
from goald.api.http.source_urls import source_path
from goald.api.publishing import TenantPublisher
from goald.api.sources.receiver import SourceReceiver
from goald.client import Publisher
from goald.configuration.sources import SourceConfiguration
from goald.domain.credentials.sources import KEY_BYTES
from goald.operations.sources import SourceService
from goald.ports.sources.deliveries import DeliveryLog
from goald.runtime.embedded.secret import with_key_of_data_dir
from goald.runtime.wiring.daemon import COMMAND_SECONDS, system_clock
from goald.runtime.wiring.secrets import keyring
from goald.runtime.wiring.sources import source_services
from goald.settings import Settings


@asynccontextmanager
async def source_service(settings: Settings, dsn: str) -> AsyncIterator[SourceService]:
    """Yields the sources in this Postgres, with the keys of the settings or of the data directory.
    Raises SettingsError for an invalid GOALD_SECRETS_KEYS."""
    pool = _pool(dsn)
    try:
        yield SourceService(_store(settings, pool))
    finally:
        await pool.close()


@asynccontextmanager
async def delivery_log(redis_url: str) -> AsyncIterator[DeliveryLog]:
    """Yields the latest deliveries in this Redis, for reading."""
    log = RedisDeliveries(redis_url)
    try:
        yield log
    finally:
        await log.close()


@asynccontextmanager
async def source_receiver(
    settings: Settings, dsn: str, redis_url: str
) -> AsyncIterator[SourceReceiver]:
    """Yields a receiver to test deliveries with: a test reads this Postgres, fetches the
    certificate of a provider that signs with one, and does not connect to Redis. Raises
    SettingsError for an invalid GOALD_SECRETS_KEYS."""
    settings = with_key_of_data_dir(settings).model_copy(update={"redis_url": redis_url})
    clock, pool, events = system_clock(), _pool(dsn), Publisher(redis_url)
    quotas = RedisQuotas(
        redis_url,
        clock,
        requests=settings.quota_requests,
        events=settings.quota_events,
        bytes_=settings.quota_bytes,
    )
    wiring = source_services(settings, pool, clock, quotas, TenantPublisher(events, ()))
    try:
        yield wiring.services.receiver
    finally:
        await events.aclose(patience_s=0)
        for each in (quotas, wiring.certificates, wiring.deliveries, pool):
            await each.close()


@asynccontextmanager
async def source_configuration(
    settings: Settings, dsn: str, redis_url: str | None
) -> AsyncIterator[SourceConfiguration]:
    """Yields the service that changes the sources in this Postgres, as the role goald_api.
    `redis_url`: where the deliveries of deleted sources are deleted; if None, they expire. Raises
    SettingsError for an invalid GOALD_SECRETS_KEYS."""
    pool = _pool(dsn)
    deliveries = RedisDeliveries(redis_url) if redis_url is not None else None
    public_url = settings.public_url
    try:
        yield SourceConfiguration(
            _store(settings, pool),
            deliveries,
            has_public_url=bool(public_url),
            url_of=lambda tenant, name, key: public_url + source_path(tenant, name, key),
            # From the operating system: it must be unpredictable.
            new_key=lambda: secrets.token_urlsafe(KEY_BYTES),
        )
    finally:
        if deliveries is not None:
            await deliveries.close()
        await pool.close()


def _pool(dsn: str) -> TenantPool:
    return TenantPool(dsn, 2, statement_seconds=COMMAND_SECONDS)


def _store(settings: Settings, pool: TenantPool) -> PostgresSources:
    return PostgresSources(pool, keyring(with_key_of_data_dir(settings)))
