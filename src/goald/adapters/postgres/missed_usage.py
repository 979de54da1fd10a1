"""The bytes of the events that paused workflows missed, of all tenants, in Postgres (E19)."""

from goald.adapters.postgres.connection import SETTINGS, Connection
from goald.adapters.postgres.shard.leases import SHARD_ROLE
from goald.domain.slots import SLOTS, SlotRange

ALL_SLOTS = SlotRange(0, SLOTS - 1)

FULL = """
SELECT count(*) FROM (
    SELECT FROM goald.missed_usage GROUP BY tenant_id HAVING sum(bytes) >= $1) AS tenants
"""


async def full_tenants(dsn: str, most_bytes: int) -> int:
    """The number of tenants whose missed events take this many bytes. Raises ServiceUnavailable."""
    connection = Connection(dsn, role=SHARD_ROLE, name="goald-missed", settings=SETTINGS)
    try:
        async with connection.transaction(ALL_SLOTS) as transaction:
            tenants: int = await transaction.fetchval(FULL, most_bytes)
    finally:
        await connection.close()
    return tenants
