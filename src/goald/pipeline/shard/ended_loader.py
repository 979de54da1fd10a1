"""Loads the table of contacts with ended enrollments (E18) while the shard processes events.

The table only saves questions to Postgres. So it is loaded in pages, one tenant after the other and
the latest ends first, with a pause after each page. Until an end is loaded, at the start or after a
longer window was configured, events of its contact cause a question (see
`native/matcher/src/index/ended.rs`).

The ends of each slot are read in their order. So the table is complete since the position of the
slot that was read least, and the next page reads the slots whose positions are the latest.
"""

import heapq
from collections.abc import Iterable
from functools import partial

from goald.domain.leases import SlotLease
from goald.pipeline.context import ShardContext
from goald.pipeline.shard.evaluate import Evaluator, MissingEnds
from goald.ports.shard_store import EndPosition, RunEnd, ShardStore

PAGE = 2_000
SLOTS_OF_PAGE = 32
"""After the first page, which reads all slots, because most tenants have no more ends."""
PAGES_OF_TURN = 100
"""Then a tenant whose table is less complete is loaded first."""
CHECK_SECONDS = 1.0
LEAST_PAUSE_SECONDS = 0.005


class EndedLoader:
    """The contacts of one slot range with ended enrollments."""

    def __init__(
        self, context: ShardContext, store: ShardStore, lease: SlotLease, evaluator: Evaluator
    ) -> None:
        self._context = context
        self._store = store
        self._lease = lease
        self._evaluator = evaluator

    async def run(self) -> None:
        """Load the ends that memory lacks, until cancelled. Raises LeaseLost."""
        clock = self._context.clock
        while True:
            missing = self._evaluator.ended_to_load(clock.now_us())
            if missing is None:
                await clock.sleep(CHECK_SECONDS)
            else:
                await self._load(missing)

    async def _load(self, missing: MissingEnds) -> None:
        """Load the ends that a tenant lacks, for a turn and until some are complete."""
        clock, slots = self._context.clock, self._lease.slots
        start = EndPosition(missing.before)
        positions = dict.fromkeys(range(slots.first, slots.last + 1), start)
        asked, first, pages = list(positions), missing.first, 0
        while True:
            began, limit = clock.monotonic(), PAGE // len(asked)
            before = {slot: positions[slot] for slot in asked}
            of = missing.tenant_id
            read = partial(self._store.ends, self._lease, of, before, first, limit)
            page = await self._context.retry("Postgres: load", "ended", read)
            _advance(positions, asked, page, limit)
            # Other ends may have the time of a position.
            complete = max((each.ended_at + 1 for each in positions.values()), default=first)
            rest = self._evaluator.add_ended(missing, page, complete, clock.now_us())
            pages += 1
            is_over = pages >= PAGES_OF_TURN and complete < missing.before
            if rest is None or not positions or is_over:
                return
            first = rest
            asked = heapq.nlargest(SLOTS_OF_PAGE, positions, key=positions.__getitem__)
            await clock.sleep(max(LEAST_PAUSE_SECONDS, clock.monotonic() - began))


def _advance(
    positions: dict[int, EndPosition], asked: Iterable[int], page: Iterable[RunEnd], limit: int
) -> None:
    """Set the position of each of these slots to the last of its ends in a page. Removes slots that
    have no more ends."""
    read: dict[int, list[EndPosition]] = {slot: [] for slot in asked}
    for end in page:
        read[end.slot].append(end.position)
    for slot, ends in read.items():
        if len(ends) == limit:
            positions[slot] = min(ends)
        else:
            del positions[slot]
