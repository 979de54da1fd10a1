"""A stop has 25 s, whatever the servers do meanwhile (D7)."""

import asyncio

from tests.support.pipeline.in_memory_pipeline import DEADLINE_SECONDS, MemoryBoard

from goald.adapters.clock import SystemClock
from goald.adapters.memory.database import MemoryDatabase
from goald.adapters.memory.store import MemoryStreamLeases
from goald.domain.leases import StreamLease
from goald.runtime.heartbeat.reporter import HeartbeatReporter
from goald.runtime.leadership.election import LeaderElection


class FrozenLeases(MemoryStreamLeases):
    """Of a Postgres that keeps its connections and answers no more."""

    async def release(self, lease: StreamLease) -> None:
        await asyncio.Event().wait()


class FrozenBoard(MemoryBoard):
    """Of a Redis that does."""

    async def remove(self, role: str, index: int) -> None:
        await asyncio.Event().wait()


async def test_a_postgres_that_stands_still_does_not_hold_up_the_end() -> None:
    primacy = LeaderElection(FrozenLeases(MemoryDatabase()), SystemClock())
    await primacy.take(lambda _: None)
    async with asyncio.timeout(DEADLINE_SECONDS):
        await primacy.release()


async def test_a_redis_that_stands_still_does_not_hold_up_the_end() -> None:
    clock, board = SystemClock(), FrozenBoard()
    beating = HeartbeatReporter(
        "supervisor",
        0,
        processes=board,
        clock=clock,
        describe=lambda: {"ready": True, "not_ready_reason": None},
    )
    await beating.send()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await beating.remove()
    assert board.beats
