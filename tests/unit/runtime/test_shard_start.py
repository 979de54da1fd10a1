"""A shard that becomes ready has every configuration change made while it loaded."""

import asyncio
from collections.abc import Callable

from tests.support.pipeline.in_memory_pipeline import FaultyStore, House

from goald.domain.leases import SlotLease


class SlowStore(FaultyStore):
    """A store whose load calls `meanwhile` first."""

    meanwhile: Callable[[], None]

    async def load(self, lease: SlotLease, sink: Callable[[bytes], object]) -> None:
        self.meanwhile()
        await super().load(lease, sink)


async def test_a_change_during_the_load_applies_from_the_first_event() -> None:
    """Otherwise `apply` would report that every shard has the change (E10), while events that
    arrive later would be evaluated against the configuration before it (E1)."""
    house = House()
    house.store = store = SlowStore(house.database, house.clock)
    house.configure("other", version=1)
    store.meanwhile = lambda: house.configure("w", version=2)
    shard = house.shard()
    running = asyncio.ensure_future(shard.run())
    try:
        await house.until(lambda: shard.ready)
        assert list(house.database.config_versions.values()) == [2]
    finally:
        shard.stop()
        await running
