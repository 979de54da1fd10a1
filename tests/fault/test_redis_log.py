"""The log of Redis shows what happened to each gate, and in which order."""

from pathlib import Path

import pytest
import redis
from tests.fault.executions.redis_log import RedisLog, commands

from goald.adapters.clock import SystemClock
from goald.adapters.redis.actions.gates import RedisGates
from goald.domain.actions.gates import GateId, gate_series
from goald.domain.actions.job import WEBHOOK, Job
from goald.domain.ids import ContactId, EnrollmentId, TenantId, WorkflowId
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.ports.actions.gates import JobEntry
from goald.ports.actions.jobs import JobResult, Passed, PassRequest
from goald.redis_jobs.queue import RedisJobQueue
from goald.redis_keys import EXITS, FIELD
from goald.runtime.embedded import DataDirectory

SERIES = gate_series(7, b"\x00" * 4)
LEASE = SlotLease(SlotRange(0, 255), 7, "shard-0")
RETURNED, FINISHED, CLOSED, IN_FLIGHT = (GateId(SERIES, number) for number in range(4))


@pytest.fixture
def log(redis_url: str, data_directory: DataDirectory) -> RedisLog:
    return RedisLog(data_directory.path / "redis")


def a_job(gate: GateId) -> Job:
    return Job(
        gate, TenantId("acme"), ContactId("c-1"), WorkflowId("w"), EnrollmentId("e-1"), "welcome",
        1, 1, WEBHOOK, "key", {}, {},
    )  # fmt: skip


class Server:
    """The holder of the gates and a worker."""

    def __init__(self, url: str) -> None:
        self.gates = RedisGates(url)
        self.queue = RedisJobQueue(url, "host:4711:abc", SystemClock())
        self.client = redis.Redis.from_url(url)
        self._entries: dict[GateId | None, bytes] = {}

    async def publish(self, *gates: GateId) -> None:
        await self.gates.admit(LEASE, await self.gates.fence(LEASE, SERIES))
        jobs = [JobEntry(gate, WEBHOOK, a_job(gate).encode(0)) for gate in gates]
        await self.gates.register(LEASE, jobs)
        received = await self.queue.receive([WEBHOOK], 10, 0.1)
        self._entries = {each.gate: each.entry_id for each in received}

    async def pass_gate(self, gate: GateId, token: bytes) -> None:
        job = a_job(gate)
        request = PassRequest(gate, job.slot, job.tenant_id, job.workflow_id, token)
        assert await self.queue.pass_gates([request]) == [Passed.PASSED]

    async def finish(self, gate: GateId, token: bytes) -> None:
        entry = self._entries[gate]
        await self.queue.finish([JobResult(gate, a_job(gate).slot, token, WEBHOOK, entry, b"{}")])

    def publish_exit(self) -> None:
        event = '{"id": "x", "tenantid": "acme", "data": {"enrollment_id": "e-1"}}'
        self.client.xadd(EXITS, {FIELD: event})

    async def close(self) -> None:
        await self.gates.close()
        await self.queue.close()
        self.client.close()


async def test_the_log_shows_each_gate(redis_url: str, log: RedisLog) -> None:
    server = Server(redis_url)
    try:
        await server.publish(RETURNED, FINISHED, CLOSED, IN_FLIGHT)
        await server.pass_gate(RETURNED, b"a" * 16)
        await server.queue.return_gates([(RETURNED, b"a" * 16)])
        await server.pass_gate(RETURNED, b"b" * 16)
        await server.pass_gate(FINISHED, b"c" * 16)
        await server.finish(FINISHED, b"c" * 16)
        await server.pass_gate(IN_FLIGHT, b"d" * 16)
        await server.gates.close_gates(LEASE, [CLOSED, IN_FLIGHT])
        server.publish_exit()
        await server.finish(RETURNED, b"b" * 16)
    finally:
        await server.close()
    log.drain()
    history = log.history
    passages = {gate: len(found) for gate, found in history.passages.items()}
    assert passages == {str(RETURNED): 2, str(FINISHED): 1, str(IN_FLIGHT): 1}
    assert {each.worker for found in history.passages.values() for each in found} == {
        "host:4711:abc"
    }
    exit_ = history.exits["acme", "e-1"]
    assert exit_.passed == (str(RETURNED), str(IN_FLIGHT))
    assert all(found[-1].position < exit_.position for found in history.passages.values())
    assert history.returned == 1
    assert history.passed_closed == []


async def test_a_flush_forgets_what_was_passed(redis_url: str, log: RedisLog) -> None:
    server = Server(redis_url)
    try:
        await server.publish(IN_FLIGHT)
        await server.pass_gate(IN_FLIGHT, b"d" * 16)
        server.client.flushall()
        server.publish_exit()
    finally:
        await server.close()
    log.drain()
    assert log.history.losses == 1
    assert log.history.exits["acme", "e-1"].passed == ()


def test_an_incomplete_transaction_is_not_read(tmp_path: Path) -> None:
    data = b"*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\na\r\n"
    assert list(commands(data)) == []
    complete = data + b"*1\r\n$4\r\nEXEC\r\n"
    read = list(commands(complete + b"*2\r\n$4\r\nINCR\r\n$1"))
    assert read == [(len(complete), [b"INCR", b"a"]), (len(complete), [b"EXEC"])]
