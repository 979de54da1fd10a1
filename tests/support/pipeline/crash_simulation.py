"""Simulates one goald instance in memory whose processes crash and restart.

`CrashSimulation` runs a consumer and a shard over shared streams and tables.
"""

import asyncio
import itertools
import json
import random
from functools import partial
from typing import Any

from tests.support.pipeline.crashable_process import (
    CrashableProcess,
    FaultInjector,
    FaultyAdapter,
    ProcessControl,
    RemoteShard,
)
from tests.support.pipeline.expected_effects import REFUSED_CONTACT, ExpectedEffects
from tests.support.pipeline.in_memory_pipeline import (
    STREAM,
    InMemoryPipeline,
    InMemoryProcessRegistry,
)
from tests.support.pipeline.virtual_time import LoopClock
from tests.support.reference import Goal

from goald.adapters.memory.actions.gates import MemoryGates
from goald.adapters.memory.actions.permits import MemoryPermits
from goald.adapters.memory.actions.state import MemoryActions
from goald.adapters.memory.database import MemoryDatabase
from goald.adapters.memory.streams import MemoryStreams
from goald.domain.configuration.goals import GoalLogic
from goald.domain.slots import split_slots
from goald.domain.times import rfc3339
from goald.ports.configuration import WorkflowConfiguration
from goald.ports.event_stream import EventStream
from goald.ports.stream_leases import StreamLeases
from goald.redis_keys import CONTROL
from goald.runtime.processes.shard import ExecutionPorts
from goald.settings import ReadSettings

START_US = 1_772_323_200_000_000
RESTART_SECONDS = (0.0, 0.1, 1.0)
DRAIN_SECONDS = 60.0
ROLES = ("shard", "consumer")
SHARES = (1, 700, 1_500, 1_000_000)
"""Units of work of a tenant in a group: from one event or effect to no limit."""
GROUP_BYTES = (1, 256 << 10)
"""Size of a group: one batch, or all that wait. The same for deferred events."""
IN_FLIGHT_BYTES = (2_000, 20_000)
"""How much is in flight: one batch, or several."""
COMMIT_SECONDS = (0.0, 0.01, 0.1)
"""While a commit is open, other batches arrive, and tenants take turns."""
GOALS: dict[GoalLogic, list[tuple[str, dict[str, Any]]]] = {
    "any": [
        ("00000000-0000-4000-8000-000000000001", {"tag_name": "Customer"}),
        ("00000000-0000-4000-8000-000000000005", {"tag_name": "Paid", "match": ["cart"]}),
    ],
    "all": [
        ("00000000-0000-4000-8000-000000000002", {"tag_name": "Customer"}),
        ("00000000-0000-4000-8000-000000000003", {"tag_name": "Friend"}),
    ],
}
"""Each workflow by its logic; every goal is a tag."""
LATE_SECONDS = 3_600
"""For how long ended enrollments are watched: until the end."""
STATE_WORKFLOW = "w-state"
STATE_GOAL = ("00000000-0000-4000-8000-000000000004", {"tag_name": "Subscriber"})
"""Its goal is also met by a contact that has the tag when it is enrolled."""
PAUSED_WORKFLOW = "w-paused"
PAUSED_GOAL = ("00000000-0000-4000-8000-000000000006", {"tag_name": "Customer"})
"""It is paused until the end, and is then activated: what it missed exits its enrollments."""


class _ProcessPipeline(InMemoryPipeline):
    """The pipeline of one process, whose adapters pass through the process's control."""

    def __init__(self, simulation: "CrashSimulation", control: ProcessControl) -> None:
        super().__init__(
            streams=simulation.streams,
            database=simulation.database,
            process_registry=simulation.process_registry,
            clock=simulation.clock,
            fail_point=control.fail_point,
            share=simulation.share,
            max_enrollments_per_contact=simulation.max_enrollments,
            group_bytes=simulation.group_bytes,
            deferred_bytes=simulation.deferred_bytes,
            late=LATE_SECONDS,
            read=ReadSettings(
                entries=3, bytes=1 << 20, in_flight_bytes=simulation.in_flight_bytes, pause=0
            ),
        )
        self._control = control
        self._actions = simulation.actions
        self.store: Any = FaultyAdapter(self.store, "store", control)
        self.outbound: Any = FaultyAdapter(self.outbound, "streams", control)

    def execution_ports(self) -> ExecutionPorts | None:
        if self._actions is None:
            return None
        gates: Any = FaultyAdapter(MemoryGates(self._actions), "streams", self._control)
        permits: Any = FaultyAdapter(MemoryPermits(self._actions), "streams", self._control)
        return ExecutionPorts(gates=gates, permits=permits)

    def open_stream(self, name: str) -> EventStream:
        stream: Any = FaultyAdapter(super().open_stream(name), "streams", self._control)
        return stream  # type: ignore[no-any-return]

    def open_leases(self) -> StreamLeases:
        leases: Any = FaultyAdapter(super().open_leases(), "store", self._control)
        return leases  # type: ignore[no-any-return]


class CrashSimulation:
    """A shard and a consumer, and a supervisor that restarts them when they die."""

    def __init__(
        self,
        clock: LoopClock,
        seed: int,
        max_enrollments: int = 10_000,
        shards: int = 1,
        *,
        runs_workflows: bool = False,
        spacing_us: int = 1_000_000,
    ) -> None:
        """`seed` determines every random choice. `max_enrollments`: active ones of a contact.
        `runs_workflows`: whether shards run the workflows that have a definition. `spacing_us`:
        between the times of two events. Must be created within the event loop."""
        self.ranges = tuple(split_slots(shards))
        self.roles = ("consumer", *(_role(number) for number in range(shards)))
        self.clock = clock
        self.max_enrollments = max_enrollments
        self.chance = random.Random(seed)
        self.share = self.chance.choice(SHARES)
        self.in_flight_bytes = self.chance.choice(IN_FLIGHT_BYTES)
        self.group_bytes = self.chance.choice(GROUP_BYTES)
        self.deferred_bytes = self.chance.choice(GROUP_BYTES)
        self.services = FaultInjector()
        self.services.commit_seconds = self.chance.choice(COMMIT_SECONDS)
        self.streams = MemoryStreams(clock)
        self.actions = MemoryActions(self.streams) if runs_workflows else None
        self.database = MemoryDatabase(refused_contacts={REFUSED_CONTACT})
        self.process_registry = InMemoryProcessRegistry()
        self.expected = ExpectedEffects(late_us=LATE_SECONDS * 1_000_000)
        self.running: dict[str, CrashableProcess] = {}
        self.replaced: list[tuple[str, CrashableProcess]] = []
        """Processes that were replaced and may still be running."""
        self.routes_to_replaced = False
        """Whether calls of a consumer reach a replaced shard while it is running."""
        self.errors: list[BaseException] = []
        self.sent: list[Any] = []
        self._activated = False
        self._numbers = itertools.count(1)
        self._spacing_us = spacing_us
        self._replace_requests = {role: asyncio.Event() for role in self.roles}
        for number, (logic, goals) in enumerate(GOALS.items(), 1):
            self._configure(number, f"w-{logic}", logic, goals)
        self._configure(len(GOALS) + 1, STATE_WORKFLOW, "any", [STATE_GOAL], checks=True)
        self._configure(len(GOALS) + 2, PAUSED_WORKFLOW, "any", [PAUSED_GOAL], is_active=False)
        self._supervisors = [asyncio.ensure_future(self._supervise(role)) for role in self.roles]

    # Input

    async def send(self, kind: str, tenant: str, contact: str, **data: Any) -> None:
        """Send an event with a later time than all before it."""
        number = next(self._numbers)
        await self.publish(
            {
                "specversion": "1.0",
                "id": f"ev-{number}",
                "source": "test",
                "type": kind,
                "time": rfc3339(START_US + number * self._spacing_us),
                "tenantid": tenant,
                "data": {"contact_id": contact, **data},
            }
        )

    async def publish(self, event: Any) -> None:
        """Send an event as it is; None for bytes that cannot be decoded."""
        body = b"{" if event is None else json.dumps(event).encode()
        self.sent.append(event)
        self.expected.add(await self.streams.add(STREAM, [b"event", body]), event)

    async def send_again(self, back: int, count: int) -> None:
        """Send some of the earlier events again, in order, as producers may."""
        first = max(0, len(self.sent) - back)
        for event in self.sent[first : first + count]:
            await self.publish(event)

    async def delete(self, tenant: str, contact: str) -> None:
        """Delete a contact. Later events are received after the time of the deletion, and earlier
        ones were before it."""
        number = next(self._numbers)
        ahead_us = START_US + (number + 2) * self._spacing_us - self.clock.now_us()
        await asyncio.sleep(max(0, ahead_us) / 1e6)
        await self.send("contact.deleted", tenant, contact)

    async def processed(self) -> None:
        """Return when every event is acknowledged. Ends the faults only if that takes 10 s of
        virtual time."""
        try:
            async with asyncio.timeout(10.0):
                while not self.errors and self.streams.unacknowledged(STREAM):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            await self.drain()

    async def activate(self) -> None:
        """Activate the paused workflow. Every event must have been processed."""
        version = self.database.next_version()
        self._configure(version, PAUSED_WORKFLOW, "any", [PAUSED_GOAL], exits_missed=True)
        self._activated = True
        await self.streams.add(CONTROL, [b"event", b"{}"])

    # Faults

    def replace(self, role: str) -> None:
        """Start a replacement of a process that may still be running."""
        self._replace_requests[role].set()

    def kill_all(self) -> None:
        """Kill every process at the end of a test."""
        for supervisor in self._supervisors:
            supervisor.cancel()
        for process in [*self.running.values(), *(process for _, process in self.replaced)]:
            process.kill()

    async def drain(self) -> None:
        """End all faults, then wait until every event is acknowledged, every committed message is
        published, every merged contact has moved, and after an activation every missed event is
        evaluated. Fails after 60 s of virtual time."""
        self.services.unavailable.clear()
        self.services.faults.clear()
        self.routes_to_replaced = False
        for role, process in [*self.running.items(), *self.replaced]:
            process.control.bomb = None
            if process is not self.running[role]:
                process.kill()
            process.control.thaw()
        async with asyncio.timeout(DRAIN_SECONDS):
            while not self.errors and (
                self.streams.unacknowledged(STREAM)
                or any(entry.published_at is None for entry in self.database.outbox.values())
                or (self._activated and self.database.missed)
                or self.database.transfers
            ):
                await asyncio.sleep(0.05)

    # Supervision

    async def _supervise(self, role: str) -> None:
        """Restart a dead process, as Ray does."""
        while True:
            process = self.running[role] = self._start(role)
            replaced = self._replace_requests[role]
            replaced.clear()
            waits = [
                asyncio.ensure_future(event.wait()) for event in (process.control.died, replaced)
            ]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            if not process.control.is_dead:
                self.replaced.append((role, process))
                continue
            await asyncio.sleep(0)  # until `error` is set
            if process.error is not None:
                self.errors.append(process.error)
            await asyncio.sleep(self.chance.choice(RESTART_SECONDS))

    def _start(self, role: str) -> CrashableProcess:
        control = ProcessControl(self.services, self.chance)
        pipeline = _ProcessPipeline(self, control)
        for number, slots in enumerate(self.ranges):
            if role == _role(number):
                return CrashableProcess(control, pipeline.shard(index=number, slots=slots))
        shards = [
            RemoteShard(control, partial(self._shard, _role(number)), self.services, self.chance)
            for number in range(len(self.ranges))
        ]
        return CrashableProcess(control, pipeline.consumer(*shards, ranges=self.ranges))

    def _shard(self, of: str) -> CrashableProcess | None:
        if self.routes_to_replaced:
            for role, process in self.replaced:
                if role == of and not process.control.is_dead:
                    return process
        return self.running.get(of)

    def _configure(
        self,
        version: int,
        name: str,
        logic: GoalLogic,
        goals: list[tuple[str, dict[str, Any]]],
        *,
        checks: bool = False,
        is_active: bool = True,
        exits_missed: bool = False,
    ) -> None:
        for tenant in ("acme", "globex"):
            self.expected.configure(
                tenant,
                name,
                logic,
                is_active,
                [
                    Goal(id_, "tag_added", criteria, position=n, check_on_enrollment=checks)
                    for n, (id_, criteria) in enumerate(goals)
                ],
                exits_missed=exits_missed,
            )
            workflow: WorkflowConfiguration = {
                "tenant_id": tenant,
                "workflow_id": name,
                "goal_logic": logic,
                "is_active": is_active,
                "exits_missed": exits_missed,
                "goals": [
                    {
                        "id": id_,
                        "goal_type": "tag_added",
                        "criteria": json.dumps(criteria),
                        "is_active": True,
                        "effective_from": 0,
                        "created_at": 0,
                        "position": n,
                        "check_on_enrollment": checks,
                    }
                    for n, (id_, criteria) in enumerate(goals)
                ],
            }
            self.database.workflows = [
                (of, row)
                for of, row in self.database.workflows
                if (row["tenant_id"], row["workflow_id"]) != (tenant, name)
            ]
            self.database.workflows.append((version, workflow))


def _role(number: int) -> str:
    """The role of a shard."""
    return f"shard-{number}" if number else "shard"
