"""Leases of streams, and the functions they share with leases of slots (D3)."""

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

SHARD_ROLE = "goald_shard"
MAX_EPOCH_GAP = 1_000_000
"""The maximum number of epochs that a restored Postgres may be behind. Skipping this many takes
less than a second. Each start of an actor uses one epoch."""


def lease_lost(lease: SlotLease | StreamLease) -> LeaseLost:
    """The error for a lease that is no longer stored."""
    what = f"slots {lease.slots}" if isinstance(lease, SlotLease) else lease.stream
    return LeaseLost(f"epoch {lease.epoch} of {lease.holder} no longer holds {what}")


def require_free(rows: Sequence[Any], takeover_policy: TakeoverPolicy) -> None:
    """Raise LeaseHeld if the policy rejects the takeover of one of these leases."""
    for row in rows:
        current = CurrentLease(row["epoch"], row["holder"], row["renewed"], row["is_expired"])
        if not takeover_policy(current):
            raise LeaseHeld(f"it is held by {describe_holder(current.holder)}")


async def require(connection: Any, statement: str, lease: SlotLease) -> None:
    """Read or hold a lease. Raises LeaseLost."""
    if await connection.fetchval(statement, lease.epoch, lease.holder) is None:
        raise lease_lost(lease)


async def renew(
    connection: Any,
    lease: SlotLease | StreamLease,
    seconds: float,
    config_version: int = 0,
    backend_pid: int | None = None,
) -> Any:
    """Extend a lease. Returns the date on the server. Raises LeaseLost."""
    today = await connection.fetchval(
        statements.RENEW, lease.epoch, seconds, config_version, backend_pid, lease.holder
    )
    if today is None:
        raise lease_lost(lease)
    return today


async def _skip_epochs(connection: Any, above: int) -> None:
    """Ensure that the next epoch is greater than `above`. Uses one epoch if it already is."""
    if above > 0:
        last = await connection.fetchval(statements.NEXT_EPOCHS, 1)
        if above - last > MAX_EPOCH_GAP:
            raise LeaseLost(f"epoch {above} is too far ahead of this Postgres, which is at {last}")
        if above > last:
            await connection.fetchval(statements.NEXT_EPOCHS, above - last)


class PostgresStreamLeases:
    """`ports.StreamLeases` over its own connection."""

    def __init__(self, dsn: str, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self._seconds = lease_seconds
        self._connection = Connection(dsn, role=SHARD_ROLE, name="goald-streams", settings=SETTINGS)

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
            await _skip_epochs(connection, above)
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
