"""Gates on a server: memory, expiry, full memory and replicas (X2, X16)."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from goald.adapters.clock import SystemClock
from goald.adapters.redis.actions.gates import RedisGates
from goald.domain.actions.gates import ActionType, GateId, gate_series
from goald.domain.errors import ServiceUnavailable
from goald.domain.ids import TenantId, WorkflowId
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.ports.actions.gates import GateState, GateStatus, JobEntry, Registration
from goald.ports.actions.jobs import Finished, JobResult, Passed, PassRequest
from goald.redis_jobs.queue import RedisJobQueue
from goald.redis_keys import GATES, action_stream, closed_gates_key

SERIES = gate_series(7, b"\x00" * 4)
LEASE = SlotLease(SlotRange(0, 255), 7, "shard-0")
NOOP = ActionType("noop")
TOKEN = b"t" * 16


def entries(count: int, start: int = 0) -> list[JobEntry]:
    return [JobEntry(GateId(SERIES, start + n), NOOP, '{"step": "welcome"}') for n in range(count)]


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[tuple[RedisGates, RedisJobQueue, Any]]:
    gates, queue = RedisGates(url, **options), RedisJobQueue(url, "worker-1", SystemClock())
    client: Any = Redis.from_url(url)
    try:
        await gates.admit(LEASE, await gates.fence(LEASE, SERIES))
        yield gates, queue, client
    finally:
        await gates.close()
        await queue.close()
        await client.aclose()


def request(gate: GateId) -> PassRequest:
    return PassRequest(gate, 0, TenantId("acme"), WorkflowId("nurture"), TOKEN)


async def test_a_closed_gate_takes_less_than_a_byte(any_redis_url: str) -> None:
    async with opened(any_redis_url) as (gates, _, client):
        jobs = entries(16_384)  # two full pages
        await gates.register(LEASE, jobs)
        await gates.close_gates(LEASE, [job.gate for job in jobs])
        assert await client.exists(GATES) == 0
        assert await client.xlen(action_stream(NOOP)) == 0
        pages = [await client.memory_usage(closed_gates_key(SERIES, page)) for page in (0, 1)]
        assert sum(pages) < len(jobs)


async def test_closed_gates_expire_and_open_ones_do_not(any_redis_url: str) -> None:
    async with opened(any_redis_url, kept_seconds=7_200.0) as (gates, _, client):
        await gates.register(LEASE, entries(2))
        await gates.close_gates(LEASE, [GateId(SERIES, 0)])
        assert 7_190 < await client.ttl(closed_gates_key(SERIES, 0)) <= 7_200
        assert await client.ttl(GATES) == -1


async def test_gates_are_kept_for_an_hour_at_least(any_redis_url: str) -> None:
    async with opened(any_redis_url, kept_seconds=1.0) as (gates, _, client):
        await gates.close_gates(LEASE, [GateId(SERIES, 0)])
        assert await client.ttl(closed_gates_key(SERIES, 0)) > 3_590


async def test_a_full_server_refuses_jobs_and_results_without_an_effect(
    any_redis_url: str,
) -> None:
    async with opened(any_redis_url) as (gates, queue, client):
        await gates.register(LEASE, entries(1))
        gate = GateId(SERIES, 0)
        assert await queue.pass_gates([request(gate)]) == [Passed.PASSED]
        ((entry_id, _),) = await client.xrange(action_stream(NOOP))
        result = JobResult(gate, 0, TOKEN, NOOP, entry_id, b"{}")
        await client.config_set("maxmemory", 1)
        try:
            with pytest.raises(ServiceUnavailable):
                await gates.register(LEASE, entries(3, start=1))
            with pytest.raises(ServiceUnavailable):
                await queue.finish([result])
        finally:
            await client.config_set("maxmemory", 0)
        assert await client.xlen(action_stream(NOOP)) == 1
        assert await gates.register(LEASE, entries(3, start=1)) == [Registration.REGISTERED] * 3
        assert await queue.finish([result]) == [Finished.FINISHED]


async def test_a_job_whose_stream_refuses_it_can_be_registered_later(any_redis_url: str) -> None:
    async with opened(any_redis_url) as (gates, _, client):
        await client.set(action_stream(NOOP), "not a stream")
        with pytest.raises(Exception, match="WRONGTYPE"):
            await gates.register(LEASE, entries(3))
        await client.delete(action_stream(NOOP))
        unknown = [GateState(GateStatus.UNKNOWN)] * 3
        assert await gates.states([job.gate for job in entries(3)]) == unknown
        assert await gates.register(LEASE, entries(3)) == [Registration.REGISTERED] * 3


async def test_a_worker_that_ends_leaves_the_consumer_group_unless_it_has_jobs(
    any_redis_url: str,
) -> None:
    async with opened(any_redis_url) as (gates, queue, client):
        other = RedisJobQueue(any_redis_url, "worker-2", SystemClock())
        await queue.receive([NOOP], 1, 0.01)
        await gates.register(LEASE, entries(1))
        assert len(await other.receive([NOOP], 1, 1.0)) == 1
        await queue.close()
        await other.close()
        (remaining,) = await client.xinfo_consumers(action_stream(NOOP), "goald")
        assert (remaining["name"], remaining["pending"]) == (b"worker-2", 1)
        assert len(await queue.take_idle(NOOP, 0.0, 10)) == 1


async def test_a_close_waits_for_the_replicas(any_redis_url: str) -> None:
    """Without it, a replica that becomes the primary may have the gate open."""
    async with opened(any_redis_url, replicas=1) as (gates, _, _client):
        with pytest.raises(ServiceUnavailable, match="GOALD_GATE_REPLICAS"):
            await gates.close_gates(LEASE, [GateId(SERIES, 0)])


async def test_a_close_that_is_repeated_writes_again(any_redis_url: str) -> None:
    """Otherwise WAIT, on a new connection, would not wait for the write of the first call."""
    async with opened(any_redis_url) as (gates, _, client):
        await gates.close_gates(LEASE, [GateId(SERIES, 0)])
        before = (await client.info("persistence"))["rdb_changes_since_last_save"]
        closed = [GateState(GateStatus.CLOSED)]
        assert await gates.close_gates(LEASE, [GateId(SERIES, 0)]) == closed
        assert (await client.info("persistence"))["rdb_changes_since_last_save"] > before


async def test_a_closed_job_is_no_longer_pending_for_its_worker(any_redis_url: str) -> None:
    async with opened(any_redis_url) as (gates, queue, client):
        await gates.register(LEASE, entries(2))
        assert len(await queue.receive([NOOP], 10, 1.0)) == 2
        await gates.close_gates(LEASE, [GateId(SERIES, 0)])
        assert (await client.xpending(action_stream(NOOP), "goald"))["pending"] == 1


async def test_a_token_has_16_bytes(any_redis_url: str) -> None:
    async with opened(any_redis_url) as (gates, queue, _client):
        await gates.register(LEASE, entries(1))
        with pytest.raises(ValueError, match="16 bytes"):
            await queue.pass_gates([request(GateId(SERIES, 0))._replace(token=os.urandom(8))])


async def test_a_login_without_info_can_use_gates(any_redis_url: str) -> None:
    client: Any = Redis.from_url(any_redis_url)
    rights = ("on", ">secret", "~*", "&*", "+@all", "-info")
    await client.execute_command("ACL", "SETUSER", "shy", *rights)
    url = any_redis_url.replace("unix://", "unix://shy:secret@")
    try:
        async with opened(url) as (gates, queue, _):
            await gates.register(LEASE, entries(1))
            assert await queue.pass_gates([request(GateId(SERIES, 0))]) == [Passed.PASSED]
    finally:
        await client.execute_command("ACL", "DELUSER", "shy")
        await client.aclose()
