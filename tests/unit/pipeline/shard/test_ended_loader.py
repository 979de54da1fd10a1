"""The table of contacts with ended enrollments is loaded by tenant (E18)."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from goald.adapters.memory.clock import ManualClock
from goald.adapters.memory.database import MemoryDatabase, StoredEnrollment
from goald.adapters.memory.store import MemoryShardStore
from goald.domain.ids import TenantId
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange, slot_of
from goald.metrics.pipeline import ShardMetrics
from goald.pipeline.context import ShardContext
from goald.pipeline.shard import ended_loader
from goald.pipeline.shard.ended_loader import EndedLoader
from goald.pipeline.shard.evaluate import Evaluator
from goald.ports.configuration import Configuration, GoalConfiguration, WorkflowConfiguration
from goald.ports.shard_store import EndPosition, RunEnd

ALL = SlotRange(0, 255)
SECOND = 1_000_000
DAY = 86_400
GOAL = "0b9c1f0e-3a52-4a52-9d5e-6a7b8c9d0e1f"


class RecordingStore(MemoryShardStore):
    """Records the pages of ends. While `released` is not set, the loader waits for a page."""

    def __init__(self, database: MemoryDatabase, clock: ManualClock) -> None:
        super().__init__(database, clock)
        self.pages: list[tuple[str, int]] = []
        self.read: list[RunEnd] = []
        self.was_read = asyncio.Event()
        self.released = asyncio.Event()
        self.released.set()

    async def ends(
        self,
        lease: SlotLease,
        tenant: TenantId,
        before: Mapping[int, EndPosition],
        first: int,
        limit: int,
    ) -> Sequence[RunEnd]:
        page = await super().ends(lease, tenant, before, first, limit)
        self.was_read.set()
        await self.released.wait()
        assert len(page) <= ended_loader.PAGE
        self.pages.append((tenant, len(page)))
        self.read += page
        return page


class World:
    """Ended enrollments of some tenants, and the loader of a shard with all slots."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.database = MemoryDatabase()
        self.store = RecordingStore(self.database, self.clock)
        self.evaluator = Evaluator(self.store, clock_skew_us=0)
        self._version = 0

    def watch(self, *tenants: str, days: int = 1) -> None:
        """The tenants have a goal with this window; 0: it watches nothing."""
        self._version += 1
        rows = [_workflow(tenant, days) for tenant in tenants]
        self.evaluator.configure(Configuration(self._version, rows, [], ()))

    def ended(self, tenant: str, number: int, ago: int, *, contact: str = "c") -> None:
        """An enrollment that ended some seconds ago."""
        at, contact = self.clock.now_us() - ago * SECOND, f"{contact}-{number}"
        self.database.enrollments[tenant, f"e-{number}"] = StoredEnrollment(
            tenant, f"e-{number}", contact_id=contact, workflow_id="w",
            slot=slot_of(tenant, contact), status="exited", enrolled_at=at - SECOND, ended_at=at,
            met_goals=[], pending_actions=None,
        )  # fmt: skip

    @asynccontextmanager
    async def loading(self) -> AsyncIterator[None]:
        lease = await self.store.acquire(ALL, "a")
        context = ShardContext.create(self.clock, ShardMetrics(CollectorRegistry()))
        loader = EndedLoader(context, self.store, lease, self.evaluator)
        task = asyncio.create_task(loader.run())
        yield
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def loaded(self) -> None:
        """Let the loader work until memory has all that may be watched."""
        for _ in range(1_000):
            for _ in range(5):
                await asyncio.sleep(0)
            await self.clock.advance(0.01)
            if self.evaluator.ended_to_load(self.clock.now_us()) is None:
                return
        raise AssertionError("it is not loaded")

    @property
    def contacts(self) -> int:
        return self.evaluator.stats()["ended_contacts"]


def _workflow(tenant: str, days: int) -> WorkflowConfiguration:
    goal: GoalConfiguration = {
        "id": GOAL, "goal_type": "tag_added", "criteria": json.dumps({"tag_id": "t"}),
        "is_active": days > 0, "effective_from": 0, "created_at": 0, "position": 0,
        "conversion_window": days * DAY * SECOND if days else None,
    }  # fmt: skip
    return {
        "tenant_id": tenant, "workflow_id": "w", "goal_logic": "any", "is_active": True,
        "tag_case_sensitive": False, "exits_missed": False, "goals": [goal],
    }  # fmt: skip


@pytest.fixture
def world() -> World:
    return World()


async def test_each_tenant_reads_its_own_ends(world: World) -> None:
    """Back to the window of its goals, each end once."""
    for number in range(50):
        for tenant in ("short", "long", "none"):
            world.ended(tenant, number, number * DAY // 5)
    world.watch("short", days=1)
    world.watch("long", days=100)
    async with world.loading():
        await world.loaded()
    # A day and a quarter, and a minute.
    assert {tenant: sum(n for of, n in world.store.pages if of == tenant)
            for tenant, _ in world.store.pages} == {"short": 7, "long": 50}  # fmt: skip
    assert world.contacts == 57


async def test_a_tenant_that_begins_to_watch_while_a_page_is_read_is_loaded(world: World) -> None:
    world.ended("early", 1, 60)
    world.ended("late", 1, 60)
    world.watch("early")
    world.store.released.clear()
    async with world.loading():
        await world.store.was_read.wait()
        world.watch("late")
        world.store.released.set()
        await world.loaded()
    assert [tenant for tenant, _ in world.store.pages] == ["early", "late"]
    assert world.contacts == 2


async def test_a_window_that_grows_while_a_page_is_read_is_loaded(world: World) -> None:
    world.ended("acme", 1, 60)
    world.ended("acme", 2, 3 * DAY)
    world.watch("acme", days=1)
    world.store.released.clear()
    async with world.loading():
        await world.store.was_read.wait()
        world.watch("acme", days=5)
        world.store.released.set()
        await world.loaded()
    assert world.contacts == 2


async def test_a_goal_that_is_off_for_some_time_costs_no_page(world: World) -> None:
    for number in range(10):
        world.ended("acme", number, number)
    world.watch("acme", days=5)
    async with world.loading():
        await world.loaded()
        pages = len(world.store.pages)
        for days in (0, 1):
            world.watch("acme", days=days)
            await world.clock.advance(3_600)
            world.watch("acme", days=5)
            await world.clock.advance(5)
        assert (len(world.store.pages), world.contacts) == (pages, 10)


async def test_nothing_is_read_for_a_window_that_ends_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ended_loader, "PAGE", 256)
    for number in range(2_000):
        world.ended("acme", number, number * 100)
    world.watch("acme", days=100)
    world.store.released.clear()
    async with world.loading():
        await world.store.was_read.wait()
        world.watch("acme", days=0)
        world.store.released.set()
        await world.loaded()
        await world.loaded()
    assert len(world.store.pages) == 1


@pytest.mark.parametrize("step", [0, 1], ids=["of one time", "one after the other"])
@pytest.mark.parametrize("turn", [3, 100])
@pytest.mark.parametrize("contact", ["c", "erased:c"])
async def test_many_ends_are_read_once_each(
    world: World, monkeypatch: pytest.MonkeyPatch, step: int, turn: int, contact: str
) -> None:
    """Within a turn. Without those of erased contacts."""
    monkeypatch.setattr(ended_loader, "PAGE", 256)
    monkeypatch.setattr(ended_loader, "PAGES_OF_TURN", turn)
    for number in range(3_000):
        world.ended("acme", number, 60 + number * step, contact=contact)
    world.ended("other", 1, 60)
    world.watch("acme", "other")
    async with world.loading():
        await world.loaded()
    expected = 3_001 if contact == "c" else 1
    assert world.contacts == expected
    assert turn == 3 or len(world.store.read) == expected


async def test_a_tenant_with_many_ends_leaves_turns_to_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ended_loader, "PAGE", 256)
    monkeypatch.setattr(ended_loader, "PAGES_OF_TURN", 3)
    for tenant in ("a", "b", "c"):
        for number in range(2_000 if tenant == "b" else 1):
            world.ended(tenant, number, 60 + number)
    world.watch("a", "b", "c")
    async with world.loading():
        await world.loaded()
    pages = [tenant for tenant, _ in world.store.pages]
    assert max(pages.index(tenant) for tenant in ("a", "b", "c")) < 20 < len(pages)
