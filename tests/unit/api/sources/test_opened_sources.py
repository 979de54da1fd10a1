"""Sources are read again soon, and only the right key finds a source that was kept."""

import asyncio

from goald.adapters.memory.clock import ManualClock
from goald.adapters.memory.sources import MemorySources
from goald.api.sources.opened import KEPT_S, MAX_KEPT, OpenedSources
from goald.domain.credentials.sources import SourceChange, StoredSource, digest_of

KEY, OTHER = "0" * 22, "1" * 22


class CountingSources(MemorySources):
    """Counts the reads."""

    reads = 0

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.may_read = asyncio.Event()
        self.may_read.set()

    async def open(self, tenant: str, name: str, key: str, now_us: int) -> StoredSource | None:
        self.reads += 1
        await self.may_read.wait()
        return await super().open(tenant, name, key, now_us)


async def created(clock: ManualClock, *names: str) -> tuple[CountingSources, OpenedSources]:
    store = CountingSources(clock)
    for name in names or ("pay",):
        await store.put("acme", name, SourceChange("stripe", {}, digest_of(KEY), ("whsec_1",)), "e")
    return store, OpenedSources(store, clock)


async def test_a_source_is_read_once_in_a_second() -> None:
    clock = ManualClock()
    store, opened = await created(clock)

    assert [await opened.open("acme", "pay", KEY, clock.now_us()) for _ in range(3)]
    assert store.reads == 1
    await clock.advance(KEPT_S)
    assert await opened.open("acme", "pay", KEY, clock.now_us()) is not None
    assert store.reads == 2


async def test_concurrent_deliveries_share_a_read() -> None:
    clock = ManualClock()
    store, opened = await created(clock)
    await opened.open("acme", "pay", KEY, clock.now_us())
    await clock.advance(KEPT_S)

    now_us = clock.now_us()
    found = await asyncio.gather(*(opened.open("acme", "pay", KEY, now_us) for _ in range(9)))

    assert all(found)
    assert store.reads == 2


async def test_a_cancelled_delivery_does_not_refuse_those_that_wait_for_its_read() -> None:
    clock = ManualClock()
    store, opened = await created(clock)
    await opened.open("acme", "pay", KEY, clock.now_us())
    await clock.advance(KEPT_S)
    store.may_read.clear()

    first, second = (
        asyncio.create_task(opened.open("acme", "pay", KEY, clock.now_us())) for _ in range(2)
    )
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    store.may_read.set()

    assert await second is not None


async def test_a_wrong_key_takes_the_same_work_each_time_and_finds_nothing() -> None:
    clock = ManualClock()
    store, opened = await created(clock)
    await opened.open("acme", "pay", KEY, clock.now_us())

    for place in (("acme", "pay", OTHER), ("acme", "other", KEY), ("globex", "pay", KEY)):
        assert [await opened.open(*place, clock.now_us()) for _ in range(2)] == [None, None]
    assert store.reads == 7


async def test_a_deleted_source_and_a_previous_key_end_within_a_second() -> None:
    clock = ManualClock()
    store, opened = await created(clock)
    await store.rotate_key("acme", "pay", digest_of(OTHER), clock.now_us() + 500_000, "e")
    assert await opened.open("acme", "pay", KEY, clock.now_us()) is not None
    await clock.advance(0.5)
    assert await opened.open("acme", "pay", KEY, clock.now_us()) is None

    assert await opened.open("acme", "pay", OTHER, clock.now_us()) is not None
    await store.delete("acme", "pay", "e")
    await clock.advance(KEPT_S)
    assert await opened.open("acme", "pay", OTHER, clock.now_us()) is None


async def test_a_change_in_this_process_takes_effect_immediately() -> None:
    clock = ManualClock()
    store, opened = await created(clock)
    await opened.open("acme", "pay", KEY, clock.now_us())
    await store.delete("acme", "pay", "e")
    opened.forget("acme", "pay")

    assert await opened.open("acme", "pay", KEY, clock.now_us()) is None


async def test_few_sources_are_kept() -> None:
    clock = ManualClock()
    store, opened = await created(clock)
    names = [f"s{number}" for number in range(90)]
    for tenant in range(MAX_KEPT // 90 + 1):
        for name in names:
            change = SourceChange("jotform", {}, digest_of(KEY))
            await store.put(f"t{tenant}", name, change, "e")
            await opened.open(f"t{tenant}", name, KEY, clock.now_us())
    reads = store.reads

    await opened.open("t0", "s0", KEY, clock.now_us())
    assert store.reads == reads + 1
    last = f"t{MAX_KEPT // 90}"
    await opened.open(last, "s89", KEY, clock.now_us())
    assert store.reads == reads + 1
