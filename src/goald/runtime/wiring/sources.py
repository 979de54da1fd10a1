"""The adapters behind sources and their deliveries."""

from dataclasses import dataclass

from goald.adapters.postgres.records.projection import PostgresContactStore
from goald.adapters.postgres.sources import PostgresSources
from goald.adapters.postgres.tenants import TenantPool
from goald.adapters.redis.deliveries import RedisDeliveries
from goald.api.dependencies import SourceServices
from goald.api.ports import Quotas
from goald.api.publishing import TenantPublisher
from goald.api.sources.certificates import CertificateFetcher
from goald.api.sources.compiled import CompiledSources
from goald.api.sources.contacts import ContactResolver
from goald.api.sources.opened import OpenedSources
from goald.api.sources.processing import DeliveryProcessor
from goald.api.sources.receiver import SourceReceiver
from goald.ports.clock import Clock
from goald.runtime.wiring.secrets import keyring
from goald.settings import Settings


@dataclass(frozen=True, slots=True)
class SourceWiring:
    """The services, with those that must be closed."""

    services: SourceServices
    certificates: CertificateFetcher
    deliveries: RedisDeliveries


def source_services(
    settings: Settings,
    pool: TenantPool,
    clock: Clock,
    quotas: Quotas,
    publisher: TenantPublisher,
) -> SourceWiring:
    """The services of sources. Connects on first use. Raises SettingsError for an invalid
    GOALD_SECRETS_KEYS."""
    compiled = CompiledSources()
    certificates = CertificateFetcher(clock)
    deliveries = RedisDeliveries(settings.redis.url, kept_seconds=settings.erasure)
    processor = DeliveryProcessor(ContactResolver(PostgresContactStore(pool)), quotas, publisher)
    store = PostgresSources(pool, keyring(settings))
    services = SourceServices(
        store,
        OpenedSources(store, clock),
        compiled,
        processor,
        SourceReceiver(compiled, certificates, processor, quotas, deliveries),
        deliveries,
    )
    return SourceWiring(services, certificates, deliveries)
