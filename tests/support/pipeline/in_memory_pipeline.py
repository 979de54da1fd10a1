"""The pipeline in one process: a consumer and a shard over the in-memory adapters.

Tests inject faults through `FaultyStore` and `FaultyOutbound`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from goald.adapters.clock import SystemClock
from goald.adapters.memory.database import MemoryDatabase
from goald.adapters.memory.store import MemoryShardStore
from goald.adapters.memory.stream_leases import MemoryStreamLeases
from goald.adapters.memory.streams import (
    MemoryControlStream,
    MemoryEventHistory,
    MemoryEventStream,
    MemoryOutbound,
    MemoryStreams,
)
from goald.adapters.memory.throttle import MemoryTenantThrottle
from goald.client import event
from goald.domain.configuration.goals import GoalType
from goald.domain.errors import ContentRefused
from goald.domain.fail_points import FailPointHook, no_op
from goald.domain.ids import ContactId, TenantId
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.pipeline.executions.rules import ExecutionRules
from goald.pipeline.shard.evaluate import Evaluator
from goald.pipeline.shard.group import SHARE
from goald.pipeline.shard.turns import DEFERRED_BYTES
from goald.pipeline.shard_batch import Shard
from goald.ports.change import Change, Committed
from goald.ports.clock import Clock
from goald.ports.configuration import GoalConfiguration
from goald.ports.event_stream import EventStream
from goald.ports.outbound import Message, PublishedWatermark
from goald.ports.process_registry import Heartbeat
from goald.ports.shard_store import MISSED_BYTES
from goald.ports.stream_leases import StreamLeases
from goald.redis_keys import CONTROL, DEAD, EXITS, NOTICES, event_stream
from goald.runtime.processes.consumer import ConsumerPorts, ConsumerProcess, ConsumerSettings
from goald.runtime.processes.shard import (
    ExecutionPorts,
    ShardPorts,
    ShardProcess,
    ShardSettings,
)
from goald.settings import DispatchSettings, ReadSettings

STREAM = event_stream(0)
ALL = SlotRange(0, 255)
GOAL = "0b9c1f0e-3a52-4a52-9d5e-6a7b8c9d0e1f"
CUSTOMER: Mapping[str, object] = {"tag_name": "Customer"}
DEADLINE_SECONDS = 60
READ = ReadSettings(entries=100, bytes=1 << 20, in_flight_bytes=1 << 20, pause=0)


class InMemoryProcessRegistry:
    """A `ProcessRegistry` in a dictionary."""

    def __init__(self) -> None:
        self.heartbeats: dict[str, Heartbeat] = {}

    async def write(self, heartbeat: Heartbeat) -> None:
        self.heartbeats[heartbeat.field] = heartbeat

    async def remove(self, role: str, index: int) -> None:
        self.heartbeats.pop(f"{role}:{index}", None)

    async def close(self) -> None:
        """Nothing to close."""


class FaultyStore(MemoryShardStore):
    """Raises each given error once: before a commit, or after it (a lost reply)."""

    def __init__(
        self, database: MemoryDatabase, clock: Clock, missed_bytes: int = MISSED_BYTES
    ) -> None:
        super().__init__(database, clock, missed_bytes=missed_bytes)
        self.before_commit: list[Exception] = []
        self.after_commit: list[Exception] = []
        self.before_reload: list[Exception] = []
        self.refused_enrollments: set[str] = set()
        self.refused_transitions: set[tuple[str, str]] = set()
        """By contact and state."""
        self.commits = 0

    async def commit(self, lease: SlotLease, change: Change) -> Committed:
        self.commits += 1
        if self.before_commit:
            raise self.before_commit.pop(0)
        if not self.refused_enrollments.isdisjoint(change.effects.enrollment_id):
            raise ContentRefused("Postgres refuses it: 22003: an enrollment that is refused")
        if (of := change.executions) is not None and not self.refused_transitions.isdisjoint(
            zip(of.transitions.contact_id, of.transitions.state, strict=True)
        ):
            raise ContentRefused("Postgres refuses it: 22003: a transition that is refused")
        committed = await super().commit(lease, change)
        if self.after_commit:
            raise self.after_commit.pop(0)
        return committed

    async def load_contacts(
        self,
        lease: SlotLease,
        contacts: Sequence[tuple[TenantId, ContactId]],
        sink: Callable[[bytes], object],
    ) -> None:
        if self.before_reload:
            raise self.before_reload.pop(0)
        await super().load_contacts(lease, contacts, sink)


class FaultyOutbound(MemoryOutbound):
    """Raises the given errors, once each; or every time, while `down` is set."""

    def __init__(self, streams: MemoryStreams) -> None:
        super().__init__(streams)
        self.before_publish: list[Exception] = []
        self.down: Exception | None = None
        self.failures = 0

    async def publish(
        self, messages: Sequence[Message], position: PublishedWatermark | None = None
    ) -> int:
        if self.down is not None:
            self.failures += 1
            raise self.down
        if self.before_publish:
            raise self.before_publish.pop(0)
        return await super().publish(messages, position)


class FaultyThrottle(MemoryTenantThrottle):
    """Raises the given error every time, while `down` is set."""

    down: Exception | None = None

    async def throttle(self, tenants: Collection[TenantId]) -> None:
        if self.down is not None:
            raise self.down
        await super().throttle(tenants)


@dataclass
class InMemoryPipeline:
    """One instance's streams, tables and processes."""

    streams: MemoryStreams = field(default_factory=lambda: MemoryStreams(SystemClock()))
    database: MemoryDatabase = field(default_factory=MemoryDatabase)
    process_registry: InMemoryProcessRegistry = field(default_factory=InMemoryProcessRegistry)
    clock: Clock = field(default_factory=SystemClock)
    fail_point: FailPointHook = no_op
    early_events: float = 0.0
    share: int = SHARE
    group_bytes: int = 1 << 20
    deferred_bytes: int = DEFERRED_BYTES
    max_enrollments_per_contact: int = 10_000
    max_deferred_bytes: int = 1 << 20
    late: float = 0.0
    missed_bytes: int = MISSED_BYTES
    concurrent_executions: int = 100
    retry_base: float = 60.0
    requires_opt_in: bool = False
    read: ReadSettings = READ

    def __post_init__(self) -> None:
        self.store = FaultyStore(self.database, self.clock, self.missed_bytes)
        self.outbound = FaultyOutbound(self.streams)
        self.throttle = FaultyThrottle(self.clock)

    def open_stream(self, name: str) -> EventStream:
        return MemoryEventStream(self.streams, name)

    def open_leases(self) -> StreamLeases:
        return MemoryStreamLeases(self.database)

    def configure(
        self,
        workflow: str = "w",
        *,
        version: int = 1,
        active: bool = True,
        exits_missed: bool = False,
        tenant: str = "acme",
        goal_type: GoalType = "tag_added",
        criteria: Mapping[str, object] = CUSTOMER,
        window: int | None = None,
    ) -> None:
        """A workflow with one goal, the tag `Customer` if none is given. `window`: the conversion
        window of the goal in seconds."""
        goal: GoalConfiguration = {
            "id": GOAL,
            "goal_type": goal_type,
            "criteria": json.dumps(criteria),
            "is_active": True,
            "effective_from": 0,
            "created_at": 0,
            "position": 0,
            "conversion_window": None if window is None else window * 1_000_000,
        }
        self.database.workflows = [
            (of, row)
            for of, row in self.database.workflows
            if (row["tenant_id"], row["workflow_id"]) != (tenant, workflow)
        ]
        self.database.workflows.append(
            (
                version,
                {
                    "tenant_id": tenant,
                    "workflow_id": workflow,
                    "goal_logic": "any",
                    "is_active": active,
                    "exits_missed": exits_missed,
                    "goals": [goal],
                },
            )
        )

    async def reconfigure(
        self,
        workflow: str = "w",
        *,
        version: int,
        active: bool = True,
        exits_missed: bool = False,
        window: int | None = None,
    ) -> None:
        """As `configure`, and announce the change to running shards."""
        self.configure(
            workflow, version=version, active=active, exits_missed=exits_missed, window=window
        )
        await self.streams.add(CONTROL, [b"event", b"{}"])

    def shard(
        self,
        reconcile: float = 3_600,
        evaluator: Evaluator | None = None,
        index: int = 0,
        slots: SlotRange = ALL,
    ) -> ShardProcess:
        return ShardProcess(
            ShardSettings(
                index=index,
                slots=slots,
                clock_skew=0,
                republish=600,
                group_bytes=self.group_bytes,
                reconcile=reconcile,
                early_events=self.early_events,
                share=self.share,
                deferred_bytes=self.deferred_bytes,
                max_enrollments_per_contact=self.max_enrollments_per_contact,
                max_deferred_bytes=self.max_deferred_bytes,
                late=self.late,
                streams=(STREAM,),
                executions=ExecutionRules(
                    concurrent_executions=self.concurrent_executions,
                    retry_base=self.retry_base,
                    requires_opt_in=self.requires_opt_in,
                ),
            ),
            ShardPorts(
                store=self.store,
                outbound=self.outbound,
                control=MemoryControlStream(self.streams),
                throttle=self.throttle,
                processes=self.process_registry,
                clock=self.clock,
                executions=self.execution_ports(),
            ),
            evaluator=evaluator,
            fail_point=self.fail_point,
        )

    def execution_ports(self) -> ExecutionPorts | None:
        """The gates and permits of a shard that runs workflows."""
        return None

    def consumer(self, *shards: Shard, ranges: tuple[SlotRange, ...] = (ALL,)) -> ConsumerProcess:
        """`ranges`: the slots of each shard."""
        return ConsumerProcess(
            ConsumerSettings(
                index=0,
                streams=(STREAM,),
                ranges=ranges,
                read=self.read,
                dispatch=DispatchSettings(bytes=1 << 16, calls_in_flight=2),
                early_events=self.early_events,
            ),
            shards,
            ConsumerPorts(
                open_stream=self.open_stream,
                leases=self.open_leases(),
                outbound=self.outbound,
                history=MemoryEventHistory(self.streams, [STREAM]),
                processes=self.process_registry,
                clock=self.clock,
            ),
            fail_point=self.fail_point,
        )

    @asynccontextmanager
    async def running(self, *ranges: SlotRange) -> AsyncIterator[None]:
        """Run a shard for each range (one for all slots if none is given) and a consumer; stop them
        in order at the end of the `with` block."""
        ranges = ranges or (ALL,)
        shards = [self.shard(index=index, slots=slots) for index, slots in enumerate(ranges)]
        consumer = self.consumer(*shards, ranges=ranges)
        shards_running = [asyncio.ensure_future(shard.run()) for shard in shards]
        consumer_running = asyncio.ensure_future(consumer.run())

        def is_ready() -> bool:
            for task in (*shards_running, consumer_running):
                if task.done():
                    task.result()
            return all(shard.ready for shard in shards) and consumer.ready

        try:
            await self.until(is_ready)
            yield
            consumer.stop()
            async with asyncio.timeout(DEADLINE_SECONDS):
                await consumer_running
            for shard in shards:
                shard.stop()
            async with asyncio.timeout(DEADLINE_SECONDS):
                await asyncio.gather(*shards_running)
        finally:
            for task in (*shards_running, consumer_running):
                task.cancel()
            await asyncio.wait({*shards_running, consumer_running})

    async def send(self, name: str, contact: str = "ann", **data: Any) -> None:
        """Send one event of tenant acme, as its producer would."""
        body = json.dumps(event(name, "acme", contact, data)).encode()
        await self.streams.add(STREAM, [b"event", body])

    async def enroll(
        self, enrollment: str = "e-1", contact: str = "ann", workflow: str = "w"
    ) -> None:
        ids = {"workflow_id": workflow, "enrollment_id": enrollment}
        await self.send("workflow.enrollment.started", contact, **ids)

    async def tag(self, name: str = "Customer", contact: str = "ann") -> None:
        await self.send("contact.tag.added", contact, tag_name=name)

    def published(self, stream: str) -> list[dict[str, Any]]:
        """The events in an outbound stream."""
        return [json.loads(fields[1]) for _, fields in self.streams.entries(stream)]

    @property
    def exits(self) -> list[str]:
        """The enrollments of the published exits, in order, repeats included."""
        return [exit_["data"]["enrollment_id"] for exit_ in self.published(EXITS)]

    @property
    def notices(self) -> list[str]:
        return [notice["type"] for notice in self.published(NOTICES)]

    @property
    def dead_letters(self) -> list[dict[bytes, bytes]]:
        return [
            dict(zip(fields[::2], fields[1::2], strict=True))
            for _, fields in self.streams.entries(DEAD)
        ]

    def measured(self, name: str) -> float:
        """The sum of a metric of the shard in its last heartbeat."""
        heartbeat = self.process_registry.heartbeats.get("shard:0")
        families = () if heartbeat is None else heartbeat.metrics
        samples = (sample for family in families for sample in family["samples"])
        return sum(float(value) for sample, _, value in samples if sample == name)

    def status(self, enrollment: str = "e-1") -> str | None:
        row = self.database.enrollments.get(("acme", enrollment))
        return row.status if row is not None else None

    @property
    def unacknowledged(self) -> int:
        """The number of entries that are not acknowledged."""
        return self.streams.unacknowledged(STREAM)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition; fails after DEADLINE_SECONDS."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not condition():
                await asyncio.sleep(0.005)

    async def all_acknowledged(self) -> None:
        """Wait until every event is acknowledged."""
        await self.until(lambda: self.unacknowledged == 0)
