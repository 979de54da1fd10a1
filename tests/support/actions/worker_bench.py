"""A worker over memory, and its jobs and results."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from goald.adapters.memory.actions.gates import MemoryGates
from goald.adapters.memory.actions.jobs import MemoryJobQueue
from goald.adapters.memory.actions.state import MemoryActions
from goald.adapters.memory.clock import ManualClock
from goald.adapters.memory.streams import MemoryStreams
from goald.domain.actions.gates import ActionType, GateId, gate_series
from goald.domain.actions.job import Job
from goald.domain.actions.outcomes import SUCCESS
from goald.domain.ids import ContactId, EnrollmentId, TenantId, WorkflowId
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.ports.actions.gates import JobEntry
from goald.ports.actions.jobs import JobQueue, Passed, PassRequest
from goald.ports.secrets.cipher import SecretCipher
from goald.redis_keys import action_stream, event_stream
from goald.workers.observer import WorkerObserver
from goald.workers.provider import CallTooLate, Enter, Performed, Provider
from goald.workers.rendering import render
from goald.workers.worker import Worker, WorkerSettings

NOOP = ActionType("noop")
LEASE = SlotLease(SlotRange(0, 255), 1, "shard-0")
SERIES = gate_series(1, b"\x00" * 4)
DEADLINE_S = 20.0


def a_job(number: int = 0, action: ActionType = NOOP, **fields: Any) -> Job:
    config: Mapping[str, Any] = fields.pop("config", {})
    variables = {"contact": {"id": "c-1", "email": "jane@example.com", "first_name": "Jane"}}
    tenant, attempt = fields.pop("tenant_id", TenantId("acme")), fields.pop("attempt", 1)
    return Job(
        GateId(SERIES, number), tenant, ContactId("c-1"), WorkflowId("nurture"),
        EnrollmentId("en-1"), "welcome", 1, attempt, action, f"key-{number}", config, variables,
        **fields,
    )  # fmt: skip


class RecordingProvider:
    """Notes its calls. `before` and `after` are awaited before and after the gate."""

    def __init__(self, *, is_keyed: bool = True) -> None:
        self.is_keyed = is_keyed
        self.calls: list[tuple[Job, Mapping[str, Any]]] = []
        self.error: BaseException | None = None
        self.is_ready = asyncio.Event()
        self.is_ready.set()
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.error_before: Exception | None = None

    async def perform(self, job: Job, config: Mapping[str, Any], enter: Enter) -> Performed:
        if self.error_before is not None:
            raise self.error_before
        await self.is_ready.wait()
        await enter()
        self.calls.append((job, config))
        await self.may_end.wait()
        if self.error is not None:
            raise self.error
        return Performed(SUCCESS)

    async def close(self) -> None:
        pass


class OpenGate:
    """A gate that lets every call pass. `too_late` is raised at the write."""

    def __init__(self) -> None:
        self.checks = 0
        self.too_late: CallTooLate | None = None

    async def __call__(self) -> None:
        pass

    def check(self) -> None:
        self.checks += 1
        if self.too_late is not None:
            raise self.too_late


class SlowQueue(MemoryJobQueue):
    """Answers requests for gates late, as often as `delays` says, in seconds."""

    def __init__(self, actions: MemoryActions, clock: ManualClock, delays: Sequence[float]) -> None:
        super().__init__(actions)
        self._clock, self._delays = clock, list(delays)

    async def pass_gates(self, requests: Sequence[PassRequest]) -> list[Passed]:
        answers = await super().pass_gates(requests)
        if self._delays:
            await self._clock.advance(self._delays.pop(0))
        return answers


class WorkerBench:
    """A server, the holder of all slots, and workers."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.actions = MemoryActions(MemoryStreams(self.clock))
        self.gates = MemoryGates(self.actions)

    async def admit(self) -> None:
        assert await self.gates.admit(LEASE, await self.gates.fence(LEASE, SERIES))

    async def register(self, *jobs: Job) -> None:
        entries = [JobEntry(job.gate, job.action, job.encode(0)) for job in jobs]
        await self.gates.register(LEASE, entries)

    def queue(self, *delays: float) -> JobQueue:
        return SlowQueue(self.actions, self.clock, delays)

    @asynccontextmanager
    async def worker(
        self,
        providers: Mapping[ActionType, Provider],
        *,
        delays: Sequence[float] = (),
        cipher: SecretCipher | None = None,
        observer: WorkerObserver | None = None,
        **settings: Any,
    ) -> AsyncIterator[Worker]:
        """A running worker. It is stopped at the end, and must drain."""
        queue = self.queue(*delays)
        worker = Worker(
            queue, providers, render, self.clock, WorkerSettings(wait_s=0.05, **settings),
            cipher=cipher, observer=observer,
        )  # fmt: skip
        running = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.stop()
            await asyncio.wait_for(running, DEADLINE_S)

    def jobs(self, action: ActionType = NOOP) -> int:
        """The number of jobs that are not finished."""
        return len(self.actions.streams.entries(action_stream(action)))

    def events(self) -> list[dict[str, Any]]:
        """The events of all contacts."""
        streams = [self.actions.streams.entries(event_stream(number)) for number in range(4)]
        return [json.loads(flat[1]) for entries in streams for _, flat in entries]

    def results(self) -> list[dict[str, Any]]:
        """The data of all results."""
        return [e["data"] for e in self.events() if e["type"] == "workflow.action.finished"]

    async def wait_results(self, count: int, *, advance_s: float = 0.0) -> list[dict[str, Any]]:
        """Wait for this number of results. Advances the clock meanwhile."""
        async with asyncio.timeout(DEADLINE_S):
            while len(self.results()) < count:
                await asyncio.sleep(0.005)
                await self.clock.advance(advance_s)
        return self.results()


async def until(condition: Any) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.002)
