"""The outbox in memory."""

from collections.abc import Callable, Iterator, Sequence

from goald.adapters.memory.database import MemoryDatabase, OutboxEntry
from goald.domain.leases import SlotLease
from goald.domain.records.erasure import PSEUDONYM_PREFIX
from goald.ports.change import Change
from goald.ports.clock import Clock
from goald.ports.outbound import Message
from goald.ports.outbox import DatabaseIdentity, StoredMessage

PAGE_ROWS = 1_000
DELETE_ROWS = 5_000


class MemoryOutbox:
    """`ports.Outbox` over tables that a store shares."""

    def __init__(self, database: MemoryDatabase, clock: Clock) -> None:
        self._tables = database
        self._clock = clock

    async def unpublished(self, lease: SlotLease, after: int = 0) -> list[StoredMessage]:
        return self._page(lease, after, lambda entry: entry.published_at is None)

    async def mark_published(
        self,
        lease: SlotLease,
        numbers: Sequence[int],
    ) -> None:
        for entry in self._entries(numbers):
            if entry.published_at is None:
                self._mark(entry)

    async def delete_published(
        self, lease: SlotLease, older_than_s: float, waiting_s: float = 0.0
    ) -> int:
        now = self._clock.monotonic()
        expired = [
            entry.number
            for entry in self._of(lease)
            if entry.published_at is not None
            and entry.published_at < now - older_than_s
            and (entry.enrollment_id is None or entry.created_at <= now - waiting_s)
        ][:DELETE_ROWS]
        for number in expired:
            del self._tables.outbox[number]
        return len(expired)

    async def last_published(self, lease: SlotLease) -> int:
        return max(
            (entry.number for entry in self._of(lease) if entry.published_at is not None), default=0
        )

    async def published(
        self, lease: SlotLease, since_us: int, until_us: int, after: int = 0
    ) -> list[StoredMessage]:
        def is_within(entry: OutboxEntry) -> bool:
            at = entry.published_at
            return at is not None and since_us <= _us(at) <= until_us and entry.payload != ""

        return self._page(lease, after, is_within)

    async def due_exits(
        self, lease: SlotLease, after_s: float, waiting_s: float
    ) -> list[StoredMessage]:
        now = self._clock.monotonic()
        due = [
            (entry.published_at, entry)
            for entry in self._of(lease)
            if entry.enrollment_id is not None
            and entry.published_at is not None
            and entry.published_at < now - after_s
        ]
        found = []
        for _, entry in sorted(due, key=lambda published: published[0]):
            row = self._tables.enrollments.get((entry.tenant_id, entry.enrollment_id or ""))
            if (
                row is not None
                and row.exit_acknowledged_at is None
                and entry.payload
                and entry.created_at > now - waiting_s
            ):
                found.append(_stored(entry))
            else:
                entry.enrollment_id = None
        return found[:PAGE_ROWS]

    async def mark_republished(self, lease: SlotLease, numbers: Sequence[int]) -> None:
        for entry in self._entries(numbers):
            if entry.published_at is not None:
                self._mark(entry)

    async def database_identity(self) -> DatabaseIdentity:
        return DatabaseIdentity(self._tables.name, _us(self._clock.monotonic()))

    def _mark(self, entry: OutboxEntry) -> None:
        entry.published_at = self._clock.monotonic()
        entry.payload = "" if entry.redact_when_published else entry.payload

    def _entries(self, numbers: Sequence[int]) -> Iterator[OutboxEntry]:
        entries = self._tables.outbox
        return (entries[number] for number in numbers if number in entries)

    def _of(self, lease: SlotLease) -> Iterator[OutboxEntry]:
        slots = lease.slots
        entries = self._tables.outbox.values()
        return (entry for entry in entries if slots.first <= entry.slot <= slots.last)

    def _page(
        self, lease: SlotLease, after: int, accepts: Callable[[OutboxEntry], bool]
    ) -> list[StoredMessage]:
        found = [entry for entry in self._of(lease) if entry.number > after and accepts(entry)]
        return [_stored(entry) for entry in found[:PAGE_ROWS]]


def _stored(entry: OutboxEntry) -> StoredMessage:
    return StoredMessage(entry.number, Message(entry.stream, entry.payload))


def _us(seconds: float) -> int:
    return round(seconds * 1e6)


def acknowledge(tables: MemoryDatabase, change: Change) -> None:
    """Record the acknowledgements of exits. The first of an exit is kept."""
    for tenant, id_, contact, workflow, _slot, cancelled, at in change.acknowledgements:
        row = tables.enrollments.get((tenant, id_))
        if (
            row is not None
            and (row.contact_id == contact or row.contact_id.startswith(PSEUDONYM_PREFIX))
            and row.workflow_id == workflow
            and row.status == "completed_goal"
            and row.exit_acknowledged_at is None
        ):
            row.exit_acknowledged_at = at
            row.cancelled_actions = cancelled
