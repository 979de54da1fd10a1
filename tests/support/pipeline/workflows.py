"""A pipeline in memory that runs workflows, with a worker."""

import asyncio
from dataclasses import dataclass, field

from tests.support.pipeline.in_memory_pipeline import InMemoryPipeline

from goald.adapters.clock import SystemClock
from goald.adapters.memory.actions.gates import MemoryGates
from goald.adapters.memory.actions.jobs import MemoryJobQueue
from goald.adapters.memory.actions.permits import MemoryPermits
from goald.adapters.memory.actions.state import MemoryActions
from goald.adapters.memory.stored.executions import StoredDefinition, StoredExecution
from goald.domain.actions.gates import ActionType
from goald.domain.actions.job import Job
from goald.domain.actions.outcomes import SUCCESS, Outcome, result_event
from goald.domain.definitions.compiler import compile_plan
from goald.domain.definitions.encoder import encode_plan
from goald.domain.definitions.steps import WorkflowDefinition
from goald.ports.actions.jobs import Finished, JobResult, Passed, PassRequest, ReceivedJob
from goald.runtime.processes.shard import ExecutionPorts

NOOP = ActionType("noop")


class ShiftedClock(SystemClock):
    """A clock whose wall time can be set forward."""

    shift_us = 0

    def now_us(self) -> int:
        return super().now_us() + self.shift_us


@dataclass
class WorkflowPipeline(InMemoryPipeline):
    """An `InMemoryPipeline` whose shard runs workflows."""

    actions: MemoryActions = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.actions = MemoryActions(self.streams)
        self.queue = MemoryJobQueue(self.actions)

    def execution_ports(self) -> ExecutionPorts:
        return ExecutionPorts(gates=MemoryGates(self.actions), permits=MemoryPermits(self.actions))

    def publish(
        self, definition: WorkflowDefinition, workflow: str = "w", version: int = 1
    ) -> None:
        """Publish a version of a definition."""
        plan = encode_plan(compile_plan(definition))
        stored = StoredDefinition("acme", workflow, version, plan)
        self.database.of_executions.definitions.append(stored)

    @property
    def executions(self) -> list[StoredExecution]:
        return list(self.database.of_executions.executions.values())

    async def jobs(self) -> list[ReceivedJob]:
        """The jobs that no worker has received."""
        return await self.queue.receive([NOOP], 1_000, 0.001)

    async def decoded_jobs(self) -> list[tuple[ReceivedJob, Job]]:
        return [(received, Job.parse(received.payload)) for received in await self.jobs()]

    async def pass_gate(self, job: Job, token: bytes) -> Passed:
        request = PassRequest(job.gate, job.slot, job.tenant_id, job.workflow_id, token)
        (answer,) = await self.queue.pass_gates([request])
        return answer

    async def finish(
        self, received: ReceivedJob, job: Job, token: bytes | None, outcome: Outcome = SUCCESS
    ) -> Finished:
        now_us = self.clock.now_us()
        event = result_event(job, outcome, token, is_keyed=True, duration_ms=1, at_us=now_us)
        result = JobResult(job.gate, 0, token, NOOP, received.entry_id, event)
        (answer,) = await self.queue.finish([result])
        return answer


async def next_job(pipeline: WorkflowPipeline) -> tuple[ReceivedJob, Job]:
    """The next job that a worker receives."""
    found: list[ReceivedJob] = []

    async def has_job() -> bool:
        found.extend(await pipeline.jobs())
        return bool(found)

    async with asyncio.timeout(10):
        while not await has_job():
            await asyncio.sleep(0.01)
    (received,) = found
    return received, Job.parse(received.payload)
