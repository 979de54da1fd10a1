"""`goald doctor` over Redis and Postgres, and the keys of the settings."""

from collections.abc import AsyncIterator

from goald.adapters.postgres.missed_usage import full_tenants
from goald.adapters.postgres.pending_transfers import PostgresPendingTransfers
from goald.adapters.redis.server_inspector import RedisServerInspector
from goald.domain.records.transfers import PendingTransfers
from goald.runtime.doctor.check import DoctorCheck
from goald.runtime.doctor.diagnosis import examine
from goald.runtime.wiring.secrets import keyring, missing_keys
from goald.settings import Settings


def diagnose(settings: Settings) -> AsyncIterator[DoctorCheck]:
    """The checks of `goald.runtime.doctor.diagnosis.examine`."""
    return examine(
        settings, RedisServerInspector, keyring, missing_keys, pending_transfers, full_tenants
    )


async def pending_transfers(dsn: str) -> PendingTransfers:
    """The transfers of merged contacts that are not finished. Raises GoaldError."""
    source = PostgresPendingTransfers(dsn)
    try:
        return await source.pending()
    finally:
        await source.close()
