"""A shard that starts is behind nobody: not even what was configured while it loaded."""

import asyncio
from collections.abc import Callable

from tests.support.pipeline.in_memory_pipeline import FaultyStore, House

from goald.domain.leases import SlotLease


class SlowStore(FaultyStore):
    """A load during which something happens."""

    meanwhile: Callable[[], None]

    async def load(self, lease: SlotLease, sink: Callable[[bytes], object]) -> None:
        self.meanwhile()
        await super().load(lease, sink)


async def test_what_is_configured_during_the_load_counts_from_the_first_event() -> None:
    """Else `apply` would say that every shard has it (E10), and events after it would be
    held against the configuration before it (E1)."""
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
