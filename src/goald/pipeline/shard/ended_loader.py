"""Loads the table of contacts with ended enrollments (E18) while the shard processes events.

The table only saves questions to Postgres. So it is loaded in pages, the latest ends first, with a
pause after each. Until an end is loaded, at the start or after a longer window was configured,
events of its contact cause a question (see `native/matcher/src/index/ended.rs`).
"""

from functools import partial

from goald.domain.leases import SlotLease
from goald.pipeline.context import ShardContext
from goald.pipeline.shard.evaluate import Evaluator
from goald.ports.shard_store import RunEnd, ShardStore

PAGE = 2_000
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
            span = self._evaluator.ended_to_load(clock.now_us())
            if span is None:
                await clock.sleep(CHECK_SECONDS)
            else:
                await self._load(*span)

    async def _load(self, before: int, first: int) -> None:
        """Load the ends before a time, back to another."""
        clock, position = self._context.clock, RunEnd(before, "", "")
        while True:
            began = clock.monotonic()
            read = partial(self._store.ends, self._lease, position, first, PAGE)
            page = await self._context.retry("Postgres: load", "ended", read)
            is_last = len(page) < PAGE
            # The next page may have ends of the same time as the last one of this page.
            page_first = first if is_last else page[-1].ended_at + 1
            self._evaluator.add_ended(page, before, page_first, clock.now_us())
            if is_last:
                return
            before, position = page_first, page[-1]
            await clock.sleep(max(LEAST_PAUSE_SECONDS, clock.monotonic() - began))
