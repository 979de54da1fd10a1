"""The leases of event streams in memory, without Postgres."""

from goald.adapters.memory.database import MemoryDatabase
from goald.domain.errors import LeaseLost
from goald.domain.leases import StreamLease, TakeoverPolicy, always_take_over


class MemoryStreamLeases:
    """`ports.StreamLeases` over tables that several may share."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._tables = database

    async def acquire(
        self,
        stream: str,
        holder: str,
        takeover_policy: TakeoverPolicy = always_take_over,
        above: int = 0,
    ) -> StreamLease:
        leases = self._tables.stream_leases
        current = [lease for lease in leases.values() if lease.stream == stream]
        self._tables.require_free(current, takeover_policy)
        for replaced in current:
            del leases[replaced.epoch]
        lease = StreamLease(stream, self._tables.next_epoch(above), holder)
        leases[lease.epoch] = lease
        return lease

    async def renew(self, lease: StreamLease) -> None:
        if lease.epoch not in self._tables.stream_leases:
            raise LeaseLost(f"epoch {lease.epoch} no longer holds {lease.stream}")
        self._tables.renew(lease.epoch)

    async def release(self, lease: StreamLease) -> None:
        self._tables.stream_leases.pop(lease.epoch, None)

    async def close(self) -> None:
        """Nothing is open."""
