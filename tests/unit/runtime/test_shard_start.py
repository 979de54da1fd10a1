"""A shard that becomes ready has every configuration change made while it loaded."""

import asyncio
from collections.abc import Callable

from tests.support.pipeline.in_memory_pipeline import FaultyStore, InMemoryPipeline

from goald.domain.leases import SlotLease


class SlowStore(FaultyStore):
    """A store whose load calls `meanwhile` first."""

    meanwhile: Callable[[], None]

    async def load(self, lease: SlotLease, sink: Callable[[bytes], object]) -> None:
        self.meanwhile()
        await super().load(lease, sink)


async def test_a_change_during_the_load_applies_from_the_first_event() -> None:
    """Otherwise `apply` would report that every shard has loaded the change (E10), while later
    events would be evaluated against the configuration before it (E1)."""
    pipeline = InMemoryPipeline()
    pipeline.store = store = SlowStore(pipeline.database, pipeline.clock)
    pipeline.configure("other", version=1)
    store.meanwhile = lambda: pipeline.configure("w", version=2)
    shard = pipeline.shard()
    running = asyncio.ensure_future(shard.run())
    try:
        await pipeline.until(lambda: shard.ready)
        assert list(pipeline.database.config_versions.values()) == [2]
    finally:
        shard.stop()
        await running
