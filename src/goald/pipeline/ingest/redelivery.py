"""Redelivery: finds the events of a contact that its shard processed before enrollments moved to
the contact (E21).

An event of the contact counts for these enrollments if Redis received it after the merge. Its
shard may have processed it before it had them. The streams have the events since the merge, so
they are delivered again; a repetition changes nothing else (D1).

Events that the shard has not processed yet must not be delivered before their turn: then they
would overtake earlier events, such as the start of another enrollment. This consumer knows how far
it has dispatched its own streams. Streams of other consumers are read as far as these may be.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

import structlog

from goald import _native
from goald.domain.slots import SLOTS
from goald.pipeline.context import ConsumerContext
from goald.pipeline.shard_batch import Forwarded
from goald.ports.event_history import EventHistory
from goald.ports.event_stream import RawEntry

PAGE_BYTES: Final = 1 << 20
FIRST_ENTRIES: Final = 100
MOST_ENTRIES: Final = 1_000
"""Entries of a page: the first, and the most of another. An entry may have 256 KiB."""
LAST_SEQUENCE: Final = (1 << 64) - 1
"""Of the entries of a millisecond."""
OTHER_SLOTS: Final = 255
"""Stands for the shards of slots that are not searched."""
MAX_BUFFER: Final = 64 * 1024
MOST_BYTES: Final = 256 << 20
"""Of the entries of a stream that are read for one contact, while other contacts wait. There may be
hours of events since a merge if this consumer is far behind."""

_log = structlog.stdlib.get_logger(__name__)


class Moved(NamedTuple):
    """A contact to which an event brought enrollments."""

    tenant: str
    contact: str
    slot: int
    received_ms: int
    """When Redis received the event."""
    dispatched: Mapping[str, bytes]
    """The last entry of each stream of this consumer that was dispatched before the contact had the
    enrollments."""


class Redelivery:
    """Reads the events that must be delivered again, page by page."""

    def __init__(self, context: ConsumerContext, history: EventHistory, unread_bytes: int) -> None:
        """`unread_bytes`: how much consumers read beyond the acknowledged entries."""
        self._context = context
        self._history = history
        self._unread_bytes = unread_bytes

    async def pages(self, moved: Sequence[Moved]) -> AsyncIterator[list[Forwarded]]:
        """Yield the events of these contacts since their merges that may change enrollments, in
        the order of their streams. Retried while Redis is unavailable."""
        by_stream: dict[str, list[Moved]] = {}
        for each in moved:
            find = partial(self._history.stream_of, each.slot)
            stream = await self._context.retry("Redis: history", "history", find)
            by_stream.setdefault(stream, []).append(each)
        for stream, contacts in sorted(by_stream.items()):
            await self._report_removed(stream, contacts)
            budgets = Budgets(contacts)
            table = bytearray([OTHER_SLOTS]) * SLOTS
            for each in contacts:
                table[each.slot] = 0
            router = _native.Router(bytes(table), max_buffer=MAX_BUFFER)
            async for entries in self._entries(stream, contacts):
                self._report_stopped(budgets.stop())
                if not budgets.slots:
                    break
                routed = router.route(list(entries)).buffers
                buffers = [buffer for shard, buffer, _ in routed if shard != OTHER_SLOTS]
                found = _native.run_events(buffers, self._context.clock.now_us())
                yield [
                    Forwarded(budgets.slots[tenant, contact], buffer)
                    for tenant, contact, buffer in found
                    if (tenant, contact) in budgets.slots
                ]
                budgets.spend(entries)

    async def _report_removed(self, stream: str, contacts: Sequence[Moved]) -> None:
        """Count the contacts whose events since the merge are not all stored."""
        position = partial(self._history.removed, stream)
        milliseconds, _ = _order(await self._context.retry("Redis: history", "history", position))
        incomplete = sum(each.received_ms < milliseconds for each in contacts)
        self._context.metrics.redelivery_removed.inc(incomplete)

    def _report_stopped(self, stopped: Sequence[tuple[str, str]]) -> None:
        self._context.metrics.redelivery_stopped.inc(len(stopped))
        for tenant in sorted({tenant for tenant, _ in stopped}):
            _log.warning(
                "not all events since a merge are delivered again: the streams have too many",
                tenant=tenant,
            )

    async def _entries(
        self, stream: str, contacts: Sequence[Moved]
    ) -> AsyncIterator[Sequence[RawEntry]]:
        history, retry = self._history, self._context.retry
        last = max((each.dispatched.get(stream, b"") for each in contacts), key=_order)
        acknowledged, unread = b"", 0
        if not last:
            position = partial(history.acknowledged, stream)
            acknowledged = await retry("Redis: history", "history", position)
        since = min(each.received_ms for each in contacts)
        after, count = b"%d-%d" % (max(0, since - 1), LAST_SEQUENCE), FIRST_ENTRIES
        while unread <= self._unread_bytes:
            read = partial(history.read, stream, after, count)
            page = await retry("Redis: history", "history", read)
            entries = [each for each in page if not last or _order(each[0]) <= _order(last)]
            if entries:
                yield entries
            if len(page) < count or len(entries) < len(page):
                return
            size = sum(map(_size, page))
            after = page[-1][0]
            count = max(1, min(MOST_ENTRIES, PAGE_BYTES * count // max(1, size)))
            if not last:
                beyond = (each for each in page if _order(each[0]) > _order(acknowledged))
                unread += sum(map(_size, beyond))


class Budgets:
    """The contacts of one stream whose events are found, while each has bytes left to read."""

    def __init__(self, contacts: Sequence[Moved]) -> None:
        self.slots = {(each.tenant, each.contact): each.slot for each in contacts}
        """By (tenant, contact)."""
        self._remaining = dict.fromkeys(self.slots, MOST_BYTES)
        self._since: dict[tuple[str, str], int] = {}
        for each in contacts:
            key = each.tenant, each.contact
            self._since[key] = min(each.received_ms, self._since.get(key, each.received_ms))

    def spend(self, entries: Sequence[RawEntry]) -> None:
        """These entries were read for the contacts that have events since before the last one."""
        size, (milliseconds, _) = sum(map(_size, entries)), _order(entries[-1][0])
        for key in self.slots:
            if self._since[key] <= milliseconds:
                self._remaining[key] -= size

    def stop(self) -> list[tuple[str, str]]:
        """Remove the contacts that have no bytes left, and return them."""
        stopped = [key for key in self.slots if self._remaining[key] <= 0]
        for key in stopped:
            del self.slots[key]
        return stopped


def _size(entry: RawEntry) -> int:
    return sum(map(len, entry[1]))


def _order(entry_id: bytes) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(milliseconds or b"0"), int(sequence or b"0")
