"""A shard that starts, or that finds another Redis, compares its jobs with their gates (X2, X4)."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry

from goald.adapters.memory.actions.gates import MemoryGates
from goald.adapters.memory.actions.jobs import MemoryJobQueue
from goald.adapters.memory.actions.permits import MemoryPermits
from goald.adapters.memory.actions.state import MemoryActions
from goald.adapters.memory.clock import ManualClock
from goald.adapters.memory.streams import MemoryStreams
from goald.adapters.providers.contact_changes import ContactChanges
from goald.adapters.providers.noop import NoopProvider
from goald.domain.actions.gates import ActionType, GateId
from goald.domain.actions.keys import honours_keys
from goald.domain.errors import LeaseLost, ServerReplaced
from goald.domain.fail_points import FailPoint
from goald.domain.ids import EnrollmentId, TenantId, WorkflowId
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.metrics.pipeline import ShardMetrics
from goald.pipeline.context import PipelineContext
from goald.pipeline.executions.gates import SlotGates
from goald.pipeline.executions.recovery import SURE_MS, JobInFlight, compare
from goald.ports.actions.gates import GateStatus, JobEntry, Registration
from goald.ports.actions.jobs import JobResult, Passed, PassRequest
from goald.ports.actions.permits import Permit, PermitAnswer

NOOP, EMAIL = ActionType("noop"), ActionType("send_email")
ALL = SlotRange(0, 255)
SLOT = 5


class Server:
    """Redis in memory, with a worker."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.actions = MemoryActions(MemoryStreams(self.clock))
        self.queue = MemoryJobQueue(self.actions)
        self.tokens: dict[GateId, bytes] = {}

    async def pass_gate(self, gate: GateId) -> Passed:
        token = self.tokens.setdefault(gate, os.urandom(16))
        request = PassRequest(gate, SLOT, TenantId("acme"), WorkflowId("nurture"), token)
        (answer,) = await self.queue.pass_gates([request])
        return answer

    async def finish(self, gate: GateId) -> None:
        live = self.actions.live[gate]
        await self.queue.finish(
            [JobResult(gate, SLOT, self.tokens[gate], NOOP, live.entry_id, b"{}")]
        )

    def replace(self) -> None:
        self.actions.streams.run_id += "+"


@dataclass
class Shard:
    """One holder of the slots, and its outstanding jobs."""

    server: Server
    epoch: int = 7
    fail_point: Callable[[FailPoint], None] = lambda _: None

    def __post_init__(self) -> None:
        actions = self.server.actions
        metrics = ShardMetrics(CollectorRegistry())
        context = PipelineContext.create(self.server.clock, metrics, self.fail_point)
        lease = SlotLease(ALL, self.epoch, f"shard@{self.epoch}")
        gates, permits = MemoryGates(actions), MemoryPermits(actions)
        self.gates = SlotGates(context, gates, permits, lease, os.urandom)

    async def start(self) -> "Shard":
        await self.gates.fence()
        assert await self.gates.admit([])
        return self

    async def publish(self, action: ActionType = NOOP) -> JobInFlight:
        job = self.commit(action)
        await self.gates.register([JobEntry(job.gate, action, "{}")])
        return job

    def commit(self, action: ActionType = NOOP, age_ms: int = 0) -> JobInFlight:
        """A job that is committed, and not registered."""
        gate = self.gates.next()
        return JobInFlight("acme", "ann", f"e-{gate.number}", "s", 1, 1, action, gate, age_ms)


@pytest.fixture
def server() -> Server:
    return Server()


async def answers(
    shard: Shard, *jobs: JobInFlight, is_continuous: bool = True
) -> list[tuple[str, str]]:
    found = await compare(shard.gates, jobs, is_continuous=is_continuous)
    return [(each.job.execution_id, each.answer) for each in found]


async def test_after_a_takeover_each_job_has_an_answer(server: Server) -> None:
    before = await Shard(server).start()
    open_, passed, finished, closed = [await before.publish() for _ in range(4)]
    unpublished = before.commit()
    await server.pass_gate(passed.gate)
    await server.pass_gate(finished.gate)
    await server.finish(finished.gate)
    await before.gates.close([closed.gate])
    after = Shard(server, epoch=8)
    assert await after.gates.fence()
    jobs = (open_, passed, finished, closed, unpublished)
    assert await answers(after, *jobs) == [
        ("e-0", "open"),
        ("e-1", "open"),
        ("e-2", "open"),
        ("e-3", "closed"),
        ("e-4", "closed"),
    ]


async def test_a_job_that_counts_as_not_published_cannot_be_published_later(
    server: Server,
) -> None:
    """The registration of the dead holder may still be on its way."""
    shard = await Shard(server).start()
    job = shard.commit()
    assert await answers(shard, job) == [("e-0", "closed")]
    assert await shard.gates.register([JobEntry(job.gate, NOOP, "{}")]) == [Registration.EXISTS]
    assert await server.pass_gate(job.gate) is Passed.REFUSED_CLOSED


async def test_a_job_that_may_have_been_finished_long_ago_counts_as_lost(server: Server) -> None:
    """Finished gates are kept for an hour, so an unknown one may have been finished."""
    shard = await Shard(server).start()
    old, young = shard.commit(age_ms=SURE_MS), shard.commit(age_ms=SURE_MS - 1)
    assert await answers(shard, old, young) == [("e-0", "lost"), ("e-1", "closed")]


async def test_after_redis_was_replaced_every_job_is_lost_and_none_passes(
    server: Server,
) -> None:
    shard = await Shard(server).start()
    job = await shard.publish()
    server.replace()
    with pytest.raises(ServerReplaced):
        await shard.gates.close([job.gate])
    assert not await shard.gates.fence()
    assert await answers(shard, job, is_continuous=False) == [("e-0", "lost")]
    assert await server.pass_gate(job.gate) is Passed.NOT_ADMITTED
    assert await shard.gates.admit([])
    assert await server.pass_gate(job.gate) is Passed.REFUSED_UNKNOWN


async def test_a_loss_that_was_not_committed_is_found_by_the_next_holder(server: Server) -> None:
    """The shard died after it admitted the gates, so the run is continuous for its successor."""
    before = await Shard(server).start()
    lost, closed = await before.publish(), await before.publish()
    server.replace()
    assert not await before.gates.fence()
    assert await before.gates.admit([])
    await before.gates.close([closed.gate])  # for a commit that failed
    current = await before.publish()
    after = Shard(server, epoch=8)
    assert await after.gates.fence()
    found = [(each.job, each.answer) for each in await compare(
        after.gates, (lost, closed, current), is_continuous=True
    )]  # fmt: skip
    assert found == [(lost, "lost"), (closed, "lost"), (current, "open")]


async def test_the_permits_of_active_executions_are_reported_before_any_is_granted(
    server: Server,
) -> None:
    shard = await Shard(server).start()
    active = Permit(TenantId("acme"), EnrollmentId("e-0"), SLOT)
    server.replace()
    await shard.gates.fence()
    assert await shard.gates.admit([active])
    other = Permit(TenantId("acme"), EnrollmentId("e-1"), SLOT)
    answers_ = await shard.gates.take_permits([(other, 1), (active, 1)])
    assert answers_ == [PermitAnswer.FULL, PermitAnswer.GRANTED]
    await shard.gates.return_permits([active])
    assert await shard.gates.take_permits([(other, 1)]) == [PermitAnswer.GRANTED]


@pytest.mark.parametrize("at", [FailPoint.GATES_FENCED, FailPoint.PERMITS_REPORTED])
async def test_redis_that_is_replaced_during_the_start_is_not_admitted(
    server: Server, at: FailPoint
) -> None:
    def replace(fail_point: FailPoint) -> None:
        if fail_point is at:
            server.replace()

    shard = Shard(server, fail_point=replace)
    await shard.gates.fence()
    assert not await shard.gates.admit([])


async def test_gates_of_a_new_series_are_other_ones(server: Server) -> None:
    shard = await Shard(server).start()
    first = shard.gates.next()
    await shard.gates.fence()
    second = shard.gates.next()
    assert (first.number, second.number) == (0, 0)
    assert first.series != second.series


async def test_a_holder_that_was_replaced_loses_its_lease(server: Server) -> None:
    before = await Shard(server).start()
    job = await before.publish()
    await Shard(server, epoch=8).start()
    with pytest.raises(LeaseLost):
        await before.gates.close([job.gate])
    with pytest.raises(LeaseLost):
        await before.publish()


async def test_calls_are_repeated_while_redis_is_unavailable(server: Server) -> None:
    shard = await Shard(server).start()
    job = await shard.publish()
    server.actions.streams.available = False
    entry = JobEntry(shard.gates.next(), NOOP, "{}")
    closing = asyncio.ensure_future(shard.gates.close([job.gate]))
    registering = asyncio.ensure_future(shard.gates.register([entry]))
    await server.clock.advance(1.0)
    assert not closing.done()
    assert not registering.done()
    server.actions.streams.available = True
    await server.clock.advance(5.0)
    (state,) = await closing
    assert state.status is GateStatus.OPEN
    assert await registering == [Registration.REGISTERED]


def test_a_shard_knows_which_providers_honour_keys() -> None:
    """An e-mail may have been sent by SMTP, which honours none."""
    assert honours_keys(NOOP) is NoopProvider().is_keyed
    assert honours_keys(ActionType("add_tag")) is ContactChanges(ManualClock()).is_keyed
    assert not honours_keys(EMAIL)
    assert not honours_keys(ActionType("their_own"))
