"""The outbox in memory."""

from collections.abc import Sequence

from goald.adapters.memory.database import MemoryDatabase
from goald.domain.leases import SlotLease
from goald.ports import Clock, Message, StoredMessage


class MemoryOutbox:
    """`ports.Outbox` over tables that a store shares."""

    def __init__(self, database: MemoryDatabase, clock: Clock) -> None:
        self._tables = database
        self._clock = clock

    async def unpublished(self, lease: SlotLease) -> list[StoredMessage]:
        return [
            StoredMessage(entry.number, Message(entry.stream, entry.payload))
            for entry in self._tables.outbox.values()
            if entry.published_at is None and lease.slots.first <= entry.slot <= lease.slots.last
        ]

    async def mark_published(
        self,
        lease: SlotLease,
        numbers: Sequence[int],
    ) -> None:
        for number in numbers:
            entry = self._tables.outbox.get(number)
            if entry is not None and entry.published_at is None:
                entry.published_at = self._clock.monotonic()
                entry.payload = "" if entry.is_to_be_blanked else entry.payload

    async def forget_published(self, lease: SlotLease, older_than_s: float) -> int:
        oldest = self._clock.monotonic() - older_than_s
        gone = [
            entry.number
            for entry in self._tables.outbox.values()
            if entry.published_at is not None
            and entry.published_at < oldest
            and lease.slots.first <= entry.slot <= lease.slots.last
        ]
        for number in gone:
            del self._tables.outbox[number]
        return len(gone)
