"""Due steps are released round-robin against credits, and with permits (X8, X16)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from goald.adapters.memory.actions.gates import MemoryGates
from goald.adapters.memory.actions.permits import MemoryPermits
from goald.adapters.memory.actions.state import MemoryActions
from goald.adapters.memory.clock import ManualClock
from goald.adapters.memory.streams import MemoryStreams
from goald.domain.actions.gates import ActionType
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.metrics.pipeline import ShardMetrics
from goald.pipeline.context import PipelineContext
from goald.pipeline.executions.gates import SlotGates
from goald.pipeline.executions.release.credits import SPAN_SECONDS, Credits
from goald.pipeline.executions.release.queues import QueueKey, RoundRobin
from goald.pipeline.executions.release.releases import (
    FULL_SECONDS,
    Grant,
    QueuedExecution,
    Releases,
)

NOOP, EMAIL = ActionType("noop"), ActionType("send_email")
LEASE = SlotLease(SlotRange(0, 255), 7, "shard-0")


@dataclass
class Steps:
    """Due steps, as a shard's memory has them."""

    due: dict[QueueKey, list[QueuedExecution]] = field(default_factory=dict)

    def add(self, tenant: str, count: int, *, action: ActionType = NOOP, permit: bool = False,
            connection: str | None = None) -> QueueKey:  # fmt: skip
        key = QueueKey(tenant, action, connection)
        queue = self.due.setdefault(key, [])
        name = f"{tenant}-{connection or ''}{'with' if permit else 'without'}"
        new = [QueuedExecution(f"c-{n}", f"{name}-{n}", permit) for n in range(count)]
        self.due[key] = new + queue if permit else queue + new
        return key

    def queues(self) -> Iterable[tuple[QueueKey, int]]:
        return [(key, len(steps)) for key, steps in self.due.items()]

    def first(self, queue: QueueKey, limit: int) -> Sequence[QueuedExecution]:
        return self.due[queue][:limit]

    def start(self, granted: Sequence[Grant]) -> None:
        """The jobs of these executions were published."""
        started = {execution for _, _, execution in granted}
        for key, steps in self.due.items():
            self.due[key] = [each for each in steps if each.execution_id not in started]


class Shard:
    """The release of one shard, over permits in memory."""

    def __init__(self, limit: int = 100, floor: int = 10) -> None:
        self.clock = ManualClock()
        self.actions = MemoryActions(MemoryStreams(self.clock))
        gates, permits = MemoryGates(self.actions), MemoryPermits(self.actions)
        context = PipelineContext.create(self.clock, ShardMetrics(CollectorRegistry()))
        self.gates = SlotGates(context, gates, permits, LEASE, lambda count: b"r" * count)
        self.steps, self.credits = Steps(), Credits(self.clock, floor)
        self.releases = Releases(
            self.clock, self.steps, self.credits, self.gates, lambda tenant: limit
        )

    async def start(self) -> "Shard":
        await self.gates.fence()
        assert await self.gates.admit([])
        return self

    async def release(self) -> list[Grant]:
        granted = await self.releases.grants()
        self.steps.start(granted)
        self.credits.add(NOOP, len(granted))
        return granted


def tenants(granted: Sequence[Grant]) -> Counter[str]:
    return Counter(tenant for tenant, _, _ in granted)


async def test_only_what_has_a_credit_is_released() -> None:
    shard = await Shard(floor=10).start()
    shard.steps.add("acme", 100)
    assert len(await shard.release()) == 10
    assert await shard.release() == []
    shard.credits.finish(NOOP, 3)
    assert len(await shard.release()) == 3


async def test_due_steps_of_one_tenant_do_not_delay_the_first_of_another() -> None:
    shard = await Shard(floor=10).start()
    shard.steps.add("acme", 100_000)
    shard.steps.add("globex", 1)
    assert tenants(await shard.release()) == {"acme": 9, "globex": 1}


async def test_connections_of_a_tenant_have_equal_shares() -> None:
    shard = await Shard(floor=10).start()
    shard.steps.add("acme", 50, connection="slow")
    shard.steps.add("acme", 3, connection="fast")
    await shard.release()
    assert {key.connection: len(each) for key, each in shard.steps.due.items()} == {
        "slow": 43,
        "fast": 0,
    }


def test_with_fewer_credits_than_queues_each_has_its_turn() -> None:
    turns = RoundRobin()
    queues = [(QueueKey(f"t-{number}", NOOP), 5) for number in range(5)]
    order = [key.tenant_id for _ in range(5) for key in turns.share(queues, lambda _: 2)]
    assert Counter(order) == {f"t-{number}": 2 for number in range(5)}
    assert len(set(order[:5])) >= 4


def test_each_type_has_its_own_credits() -> None:
    queues = [(QueueKey("acme", NOOP), 5), (QueueKey("acme", EMAIL), 5)]
    free = {NOOP: 0, EMAIL: 3}
    assert RoundRobin().share(queues, free.__getitem__) == {QueueKey("acme", EMAIL): 3}


async def test_fast_workers_get_the_jobs_of_two_seconds() -> None:
    clock = ManualClock()
    credits_ = Credits(clock, floor=10)
    for _ in range(40):
        credits_.add(NOOP, 10)
        credits_.finish(NOOP, 10)
        await clock.advance(0.1)
    assert credits_.free(NOOP) == 10 * 10 * SPAN_SECONDS - 10
    await clock.advance(SPAN_SECONDS)
    assert credits_.free(NOOP) == 10


async def test_jobs_that_no_worker_performed_do_not_count_as_throughput() -> None:
    credits_ = Credits(ManualClock(), floor=2)
    credits_.add(NOOP, 2)
    credits_.remove(NOOP, 2)
    assert (credits_.out(NOOP), credits_.limit(NOOP)) == (0, 2)


async def test_a_paused_connection_holds_its_jobs_until_it_is_resumed() -> None:
    shard = await Shard().start()
    paused = shard.steps.add("acme", 2, connection="crm")
    shard.steps.add("acme", 1)
    shard.releases.delay(paused, None)
    assert len(await shard.release()) == 1
    shard.releases.resume(paused)
    assert len(await shard.release()) == 2


async def test_a_rate_limit_holds_the_jobs_of_the_connection_for_its_time() -> None:
    shard = await Shard().start()
    paused = shard.steps.add("acme", 2, connection="crm")
    shard.releases.delay(paused, shard.clock.now_us() // 1_000 + 60_000)
    await shard.clock.advance(59)
    assert await shard.release() == []
    await shard.clock.advance(1)
    assert len(await shard.release()) == 2


async def test_an_account_starts_no_more_executions_than_its_limit() -> None:
    shard = await Shard(limit=3).start()
    shard.steps.add("acme", 5)
    shard.steps.add("globex", 2)
    assert tenants(await shard.release()) == {"acme": 3, "globex": 2}
    assert len(shard.actions.permits) == 5


async def test_active_executions_continue_in_an_account_without_room() -> None:
    """Otherwise none would ever end, and return its permit."""
    shard = await Shard(limit=3).start()
    shard.steps.add("acme", 50)
    await shard.release()
    shard.steps.add("acme", 2, permit=True)
    assert [execution for _, _, execution in await shard.release()] == [
        "acme-with-0",
        "acme-with-1",
    ]


async def test_a_returned_permit_goes_to_the_next_execution_immediately() -> None:
    shard = await Shard(limit=3).start()
    shard.steps.add("acme", 5)
    first = await shard.release()
    assert await shard.release() == []
    await shard.releases.return_permits(first[:1])
    assert len(await shard.release()) == 1


async def test_an_account_without_room_is_asked_again_later() -> None:
    """Another shard may have returned permits."""
    shard = await Shard(limit=3).start()
    shard.steps.add("acme", 5)
    await shard.release()
    assert await shard.release() == []
    shard.actions.permits.clear()
    assert await shard.release() == []
    await shard.clock.advance(FULL_SECONDS)
    assert len(await shard.release()) == 2
