"""A stop ends within its deadline even if a server does not answer (D7)."""

import asyncio

from tests.support.pipeline.in_memory_pipeline import DEADLINE_SECONDS, InMemoryProcessRegistry

from goald.adapters.clock import SystemClock
from goald.adapters.memory.database import MemoryDatabase
from goald.adapters.memory.stream_leases import MemoryStreamLeases
from goald.domain.leases import StreamLease
from goald.runtime.heartbeat.reporter import HeartbeatReporter
from goald.runtime.leadership.election import LeaderElection


class UnresponsiveLeases(MemoryStreamLeases):
    """The leases of a Postgres that keeps its connections but does not answer."""

    async def release(self, lease: StreamLease) -> None:
        await asyncio.Event().wait()


class UnresponsiveRegistry(InMemoryProcessRegistry):
    """The process registry of a Redis that does not answer."""

    async def remove(self, role: str, index: int) -> None:
        await asyncio.Event().wait()


async def test_an_unresponsive_postgres_does_not_delay_the_stop() -> None:
    election = LeaderElection(UnresponsiveLeases(MemoryDatabase()), SystemClock())
    await election.win(lambda _: None)
    async with asyncio.timeout(DEADLINE_SECONDS):
        await election.release()


async def test_an_unresponsive_redis_does_not_delay_the_stop() -> None:
    clock, processes = SystemClock(), UnresponsiveRegistry()
    heartbeat = HeartbeatReporter(
        "supervisor",
        0,
        processes=processes,
        clock=clock,
        describe=lambda: {"ready": True, "not_ready_reason": None},
    )
    await heartbeat.send()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await heartbeat.remove()
    assert processes.heartbeats
