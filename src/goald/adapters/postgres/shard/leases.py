"""Leases of streams, and what the leases of slots share with them (D3)."""

from collections.abc import Sequence
from typing import Any

from goald.adapters.postgres.connection import SETTINGS, Connection
from goald.adapters.postgres.shard import statements
from goald.domain.errors import LeaseHeld, LeaseLost
from goald.domain.leases import (
    LEASE_SECONDS,
    CurrentLease,
    SlotLease,
    StreamLease,
    TakeoverPolicy,
    always_take_over,
    describe_holder,
)

ENGINE_ROLE = "goald_shard"
FARTHEST = 1_000_000
"""So many epochs a Postgres may be behind; they are used up one by one, in under a second. An
epoch is given out each time that an actor starts."""


def lost(lease: SlotLease | StreamLease) -> LeaseLost:
    """The error for a lease that is not there any more."""
    what = f"slots {lease.slots}" if isinstance(lease, SlotLease) else lease.stream
    return LeaseLost(f"epoch {lease.epoch} of {lease.holder} no longer holds {what}")


def require_free(rows: Sequence[Any], takeover_policy: TakeoverPolicy) -> None:
    """Raise LeaseHeld where one of these leases may not be taken."""
    for row in rows:
        held = CurrentLease(row["epoch"], row["holder"], row["renewed"], row["is_expired"])
        if not takeover_policy(held):
            raise LeaseHeld(f"it is held by {describe_holder(held.holder)}")


async def renew(
    connection: Any,
    lease: SlotLease | StreamLease,
    seconds: float,
    config_version: int = 0,
    backend_pid: int | None = None,
) -> Any:
    """Extend a lease; the server's date. Raises LeaseLost."""
    today = await connection.fetchval(
        statements.RENEW, lease.epoch, seconds, config_version, backend_pid, lease.holder
    )
    if today is None:
        raise lost(lease)
    return today


async def _pass(connection: Any, above: int) -> None:
    """See to it that the next epoch is greater than this. Costs a number where it is already."""
    if above > 0:
        last = await connection.fetchval(statements.NEXT_EPOCHS, 1)
        if above - last > FARTHEST:
            raise LeaseLost(f"epoch {above} is nothing that this Postgres can have lost: {last}")
        if above > last:
            await connection.fetchval(statements.NEXT_EPOCHS, above - last)


class PostgresStreamLeases:
    """`ports.StreamLeases` over one connection of its own."""

    def __init__(self, dsn: str, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self._seconds = lease_seconds
        self._connection = Connection(
            dsn, role=ENGINE_ROLE, name="goald-streams", settings=SETTINGS
        )

    async def acquire(
        self,
        stream: str,
        holder: str,
        takeover_policy: TakeoverPolicy = always_take_over,
        above: int = 0,
    ) -> StreamLease:
        async with self._connection.use() as connection, connection.transaction():
            await connection.execute(statements.LOCK_LEASES)
            require_free(await connection.fetch(statements.OF_STREAM, stream), takeover_policy)
            await _pass(connection, above)
            await connection.execute(statements.REMOVE_STREAM, stream)
            epoch = await connection.fetchval(statements.TAKE_STREAM, stream, holder, self._seconds)
        return StreamLease(stream, epoch, holder)

    async def renew(self, lease: StreamLease) -> None:
        async with self._connection.use() as connection:
            await renew(connection, lease, self._seconds)

    async def release(self, lease: StreamLease) -> None:
        async with self._connection.use() as connection:
            await connection.execute(statements.RELEASE, lease.epoch, lease.holder)

    async def close(self) -> None:
        await self._connection.close()
