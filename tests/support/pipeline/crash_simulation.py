"""Simulates one goald instance in memory whose processes crash and restart.

`CrashSimulation` runs a consumer and a shard over shared streams and tables. `ExpectedEffects`
computes, with the reference model, the effects that the sent events must have, and compares them
with the entries in the streams and the rows in the tables.
"""

import asyncio
import itertools
import json
import random
from typing import Any

from tests.support.pipeline.crashable_process import (
    CrashableProcess,
    FaultInjector,
    FaultyAdapter,
    ProcessControl,
    RemoteShard,
)
from tests.support.pipeline.in_memory_pipeline import (
    STREAM,
    InMemoryPipeline,
    InMemoryProcessRegistry,
)
from tests.support.pipeline.virtual_time import LoopClock
from tests.support.reference import Exit, Goal, Model

from goald.adapters.memory.database import MemoryDatabase
from goald.adapters.memory.streams import MemoryStreams
from goald.domain.configuration.goals import GoalLogic
from goald.ports.configuration import WorkflowConfiguration
from goald.ports.event_stream import EventStream
from goald.ports.stream_leases import StreamLeases
from goald.redis_keys import DEAD, EXITS
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
REFUSED_CONTACT = "mallory"
"""Postgres refuses its enrollments for their content."""
GOALS: dict[GoalLogic, list[tuple[str, dict[str, str]]]] = {
    "any": [("00000000-0000-4000-8000-000000000001", {"tag_name": "Customer"})],
    "all": [
        ("00000000-0000-4000-8000-000000000002", {"tag_name": "Customer"}),
        ("00000000-0000-4000-8000-000000000003", {"tag_name": "Friend"}),
    ],
}
"""Each workflow by its logic; every goal is a tag."""


class ExpectedEffects:
    """The events that were sent, the effects they must have, and checks that they had them."""

    def __init__(self) -> None:
        self.model = Model()
        self.exit_of: dict[tuple[str, str], Exit] = {}
        self.owed: list[tuple[bytes, int, int]] = []
        """(entry, number of exits and of achievements that exist once it is processed)."""
        self.events: dict[str, Any] = {}
        """By entry id."""
        self.refused: dict[str, Any] = {}
        self.ids: dict[tuple[str, str], str] = {}
        """The id of each published exit, by enrollment."""
        self._checked = 0
        self._exits_seen = 0

    def add(self, entry_id: bytes, event: Any) -> None:
        """Add an event that was sent; None for bytes that cannot be decoded."""
        before = len(self.model.exits)
        self.events[entry_id.decode()] = event
        received_us = _id(entry_id)[0] * 1_000 + 999
        if (
            event is None
            or _is_refused(event)
            or self.model.feed(event, received_us).rejected is not None
        ):
            self.refused[entry_id.decode()] = event
        for exit_ in self.model.exits[before:]:
            self.exit_of[exit_.tenant, exit_.enrollment] = exit_
        self.owed.append((entry_id, len(self.model.exits), len(self.model.achievements)))

    def check(self, streams: MemoryStreams, database: MemoryDatabase) -> None:
        """Check that no effect is unjustified or doubled, and that every acknowledged event has
        had its effects (D1, D2)."""
        exits = streams.entries(EXITS)
        for _, fields in exits[self._exits_seen :]:
            self._check_exit(json.loads(fields[1]))
        self._exits_seen = len(exits)
        stored = {(row.enrollment.tenant_id, row.enrollment.id, row.goal_config_id)
                for row in database.achievements}  # fmt: skip
        assert len(stored) == len(database.achievements), "an achievement was stored twice"
        expected = {(a.tenant, a.enrollment, a.goal) for a in self.model.achievements}
        assert stored <= expected, f"unjustified achievements: {stored - expected}"
        acknowledged = streams.stream(STREAM).acknowledged
        while self._checked < len(self.owed) and _id(self.owed[self._checked][0]) <= acknowledged:
            self._checked += 1
        if self._checked:
            _, exits_due, achievements_due = self.owed[self._checked - 1]
            for exit_ in self.model.exits[:exits_due]:
                key = exit_.tenant, exit_.enrollment
                assert key in self.ids, f"acknowledged, but its exit was not published: {key}"
                assert database.enrollments[key].status == "completed_goal"
            for due in self.model.achievements[:achievements_due]:
                assert (due.tenant, due.enrollment, due.goal) in stored, f"lost: {due}"

    def check_all(self, streams: MemoryStreams, database: MemoryDatabase) -> None:
        """Check the same, and that every event that was sent has had its effects."""
        assert streams.unacknowledged(STREAM) == 0
        self.check(streams, database)
        assert set(self.ids) == set(self.exit_of)
        actual = {
            key: (row.workflow_id, row.status, sorted(row.met_goals))
            for key, row in database.enrollments.items()
        }
        assert actual == {
            key: (row.workflow, row.status, sorted(row.met))
            for key, row in self.model.enrollments.items()
        }
        for key, row in self.model.enrollments.items():
            contact = database.enrollments[key].contact_id
            contact = "erased" if contact.startswith("erased:") else contact
            assert contact in self.model.stored_contacts(row), f"wrong contact: {key}"
        for achievement in database.achievements:
            if achievement.enrollment.contact_id.startswith("erased:"):
                assert achievement.trigger_event == "{}", "the payload of a deleted contact"
        dead = [fields[fields.index(b"id") + 1].decode() for _, fields in streams.entries(DEAD)]
        assert set(self.refused) <= set(dead), "a rejected event was not dead-lettered"
        # Two events of one batch may claim the same enrollment id. If the commit shows that one
        # of them is wrong, both are dead-lettered; repeating the other would change nothing.
        disputed = {_enrollment(self.refused[entry]) for entry in self.refused}
        for entry in set(dead) - set(self.refused):
            enrollment = _enrollment(self.events[entry])
            assert enrollment is not None
            is_used = self._is_used(self.events[entry], enrollment)
            assert enrollment in disputed or is_used, f"dead-lettered without cause: {entry}"

    def _is_used(self, event: Any, enrollment: tuple[str, str]) -> bool:
        """Whether the event is a second start that came while its enrollment was active. If it is
        read again after the enrollment has ended, it is dead-lettered (E12)."""
        row = self.model.enrollments.get(enrollment)
        is_start = event["type"] == "workflow.enrollment.started"
        return is_start and row is not None and row.status != "active"

    def _check_exit(self, exit_: dict[str, Any]) -> None:
        data = exit_["data"]
        key = exit_["tenantid"], data["enrollment_id"]
        assert key in self.exit_of, f"unjustified exit: {exit_}"
        due = self.exit_of[key]
        assert (data["contact_id"], data["workflow_id"], data["goal_type"]) == (
            due.contact,
            due.workflow,
            due.goal_type,
        )
        assert (tuple(data["goal_ids"]), data["trigger_event"]["id"]) == (
            due.goal_ids,
            due.event_id,
        )
        assert self.ids.setdefault(key, exit_["id"]) == exit_["id"], "an exit has two ids"


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
            read=ReadSettings(
                entries=3, bytes=1 << 20, in_flight_bytes=simulation.in_flight_bytes, pause=0
            ),
        )
        self._control = control
        self.store: Any = FaultyAdapter(self.store, "store", control)
        self.outbound: Any = FaultyAdapter(self.outbound, "streams", control)

    def open_stream(self, name: str) -> EventStream:
        stream: Any = FaultyAdapter(super().open_stream(name), "streams", self._control)
        return stream  # type: ignore[no-any-return]

    def open_leases(self) -> StreamLeases:
        leases: Any = FaultyAdapter(super().open_leases(), "store", self._control)
        return leases  # type: ignore[no-any-return]


class CrashSimulation:
    """A shard and a consumer, and a supervisor that restarts them when they die."""

    def __init__(self, clock: LoopClock, seed: int, max_enrollments: int = 10_000) -> None:
        """`seed` determines every random choice. `max_enrollments`: active ones of a contact.
        Must be created within the event loop."""
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
        self.database = MemoryDatabase(refused_contacts={REFUSED_CONTACT})
        self.process_registry = InMemoryProcessRegistry()
        self.expected = ExpectedEffects()
        self.running: dict[str, CrashableProcess] = {}
        self.replaced: list[tuple[str, CrashableProcess]] = []
        """Processes that were replaced and may still be running."""
        self.routes_to_replaced = False
        """Whether calls of a consumer reach a replaced shard while it is running."""
        self.errors: list[BaseException] = []
        self.sent: list[Any] = []
        self._numbers = itertools.count(1)
        self._replace_requests = {role: asyncio.Event() for role in ROLES}
        for number, (logic, goals) in enumerate(GOALS.items(), 1):
            self._configure(number, logic, goals)
        self._supervisors = [asyncio.ensure_future(self._supervise(role)) for role in ROLES]

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
                "time": f"2026-03-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z",
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
        """End all faults, then wait until every event is acknowledged and every committed message
        is published. Fails after 60 s of virtual time."""
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
        if role == "shard":
            return CrashableProcess(control, pipeline.shard())
        return CrashableProcess(
            control,
            pipeline.consumer(RemoteShard(control, self._shard, self.services, self.chance)),
        )

    def _shard(self) -> CrashableProcess | None:
        if self.routes_to_replaced:
            for role, process in self.replaced:
                if role == "shard" and not process.control.is_dead:
                    return process
        return self.running.get("shard")

    def _configure(
        self, version: int, logic: GoalLogic, goals: list[tuple[str, dict[str, str]]]
    ) -> None:
        for tenant in ("acme", "globex"):
            self.expected.model.configure(
                tenant,
                f"w-{logic}",
                logic,
                True,
                [
                    Goal(id_, "tag_added", criteria, position=n)
                    for n, (id_, criteria) in enumerate(goals)
                ],
            )
            workflow: WorkflowConfiguration = {
                "tenant_id": tenant,
                "workflow_id": f"w-{logic}",
                "goal_logic": logic,
                "is_active": True,
                "goals": [
                    {
                        "id": id_,
                        "goal_type": "tag_added",
                        "criteria": json.dumps(criteria),
                        "is_active": True,
                        "effective_from": 0,
                        "created_at": 0,
                        "position": n,
                    }
                    for n, (id_, criteria) in enumerate(goals)
                ],
            }
            self.database.workflows.append((version, workflow))


def _is_refused(event: Any) -> bool:
    return bool(event["data"]["contact_id"] == REFUSED_CONTACT)


def _enrollment(event: Any) -> tuple[str, str] | None:
    """Return the tenant and enrollment that an event names, or None."""
    if event is None or "enrollment_id" not in event["data"]:
        return None
    return event["tenantid"], event["data"]["enrollment_id"]


def _id(entry_id: bytes) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(milliseconds), int(sequence)
