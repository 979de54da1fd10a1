"""The transfers of merged contacts that are not finished, of all tenants, in Postgres (E21)."""

from goald.adapters.postgres.connection import SETTINGS, Connection
from goald.adapters.postgres.shard.leases import SHARD_ROLE
from goald.domain.records.transfers import PendingTransfers
from goald.domain.slots import SLOTS, SlotRange

ALL_SLOTS = SlotRange(0, SLOTS - 1)

PENDING = """
SELECT count(*) FILTER (WHERE refused_at IS NULL),
       coalesce(extract(epoch FROM
           now() - min(created_at) FILTER (WHERE refused_at IS NULL)), 0)::float8,
       count(refused_at), coalesce(extract(epoch FROM now() - min(refused_at)), 0)::float8
FROM goald.transfers
"""

FORWARDS_TO_DELETED = """
SELECT count(*), coalesce(extract(epoch FROM now() - min(e.last_requested_at)), 0)::float8
FROM goald.erasures e
JOIN goald.forwards f ON f.tenant_id = e.tenant_id AND f.into_contact_id = e.contact_id
WHERE e.contact_id IS NOT NULL AND f.merged_at <= e.deleted_at
"""
"""Reads the erasures whose rows may still contain their contacts, which are few."""


class PostgresPendingTransfers:
    """`runtime.jobs.transfers.TransferSource`, over its own connection, opened on first use."""

    def __init__(self, dsn: str) -> None:
        self._connection = Connection(
            dsn, role=SHARD_ROLE, name="goald-transfers", settings=SETTINGS
        )

    async def pending(self) -> PendingTransfers:
        async with self._connection.transaction(ALL_SLOTS) as connection:
            transfers = await connection.fetchrow(PENDING)
            forwards = await connection.fetchrow(FORWARDS_TO_DELETED)
        return PendingTransfers(*transfers, *forwards)

    async def close(self) -> None:
        await self._connection.close()
