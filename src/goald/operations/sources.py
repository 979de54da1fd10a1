"""Lists and shows the sources of a tenant, and their latest deliveries."""

from collections.abc import Sequence
from dataclasses import dataclass

from goald.domain.credentials.sources import SourceEntry, StoredSource
from goald.domain.errors import InvalidConfiguration, NotFound
from goald.domain.records.deliveries import DeliveryRecord
from goald.ports.sources.deliveries import DeliveryLog
from goald.ports.sources.store import SourceStore
from goald.sources.compiled import Source, compile_source


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """A source without anything secret."""

    entry: SourceEntry
    source: Source | None
    """None if this release cannot use the source, because another one with other presets stored
    it."""


@dataclass(frozen=True, slots=True)
class LatestDeliveries:
    """The latest deliveries of a source, newest first."""

    verified: Sequence[DeliveryRecord]
    unverified: Sequence[DeliveryRecord]


class SourceService:
    """The sources of one goald. Every method may raise ServiceUnavailable."""

    def __init__(self, store: SourceStore) -> None:
        self._store = store

    async def list(self, tenant: str) -> Sequence[SourceDescription]:
        """Return the sources of a tenant, ordered by name."""
        return [_described(entry) for entry in await self._store.list(tenant)]

    async def get(self, tenant: str, name: str) -> SourceDescription:
        """Return one source. Raises NotFound."""
        entry = await self._store.find(tenant, name)
        if entry is None:
            raise _missing(tenant, name)
        return _described(entry)

    async def load(self, tenant: str, name: str) -> StoredSource:
        """Return one source with its secrets. Raises NotFound, and EncryptionKeyMissing or
        SecretDamaged if they cannot be decrypted."""
        stored = await self._store.load(tenant, name)
        if stored is None:
            raise _missing(tenant, name)
        return stored


async def latest_deliveries(log: DeliveryLog, tenant: str, name: str) -> LatestDeliveries:
    """Return the latest deliveries of a source; none if there is no such source. Raises
    ServiceUnavailable."""
    return LatestDeliveries(
        await log.latest(tenant, name, verified=True),
        await log.latest(tenant, name, verified=False),
    )


def _described(entry: SourceEntry) -> SourceDescription:
    try:
        source = compile_source(entry.preset, entry.overrides)
    except (InvalidConfiguration, NotFound):
        return SourceDescription(entry, None)
    return SourceDescription(entry, source)


def _missing(tenant: str, name: str) -> NotFound:
    return NotFound(
        f"The tenant {tenant} has no source {name}. "
        f"`goald sources list --tenant {tenant}` lists its sources."
    )
