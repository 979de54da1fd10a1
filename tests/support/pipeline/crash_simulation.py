"""One instance in memory, whose processes die and are started again, and an account of it.

`World` is a consumer and a shard over what they share; `Account` knows what was published to
them and, by the reference model, what must come of it. It looks at nothing but the entries in
the streams and the rows in the tables.
"""

import asyncio
import itertools
import json
import random
from typing import Any

from tests.support.pipeline.crashable_process import FarShard, Fate, Gated, Mortal, Services
from tests.support.pipeline.in_memory_pipeline import STREAM, House, MemoryBoard
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
SETTLE_SECONDS = 60.0
ROLES = ("shard", "consumer")
GOALS: dict[GoalLogic, list[tuple[str, dict[str, str]]]] = {
    "any": [("00000000-0000-4000-8000-000000000001", {"tag_name": "Customer"})],
    "all": [
        ("00000000-0000-4000-8000-000000000002", {"tag_name": "Customer"}),
        ("00000000-0000-4000-8000-000000000003", {"tag_name": "Friend"}),
    ],
}
"""Each workflow by its logic; every goal is a tag."""


class Account:
    """What was published, what must come of it, and whether it has."""

    def __init__(self) -> None:
        self.model = Model()
        self.exit_of: dict[tuple[str, str], Exit] = {}
        self.owed: list[tuple[bytes, int, int]] = []
        """(an entry, how many exits and achievements there must be when it is done)."""
        self.events: dict[str, Any] = {}
        """By the id of their entry."""
        self.refused: dict[str, Any] = {}
        self.ids: dict[tuple[str, str], str] = {}
        """The id of each exit that was published, by its enrollment."""
        self._paid = 0
        self._exits_seen = 0

    def take(self, entry_id: bytes, event: Any) -> None:
        """An event that is in the stream now; None where nobody can read it."""
        made = len(self.model.exits)
        self.events[entry_id.decode()] = event
        if event is None or self.model.feed(event).rejected is not None:
            self.refused[entry_id.decode()] = event
        for exit_ in self.model.exits[made:]:
            self.exit_of[exit_.tenant, exit_.enrollment] = exit_
        self.owed.append((entry_id, len(self.model.exits), len(self.model.achievements)))

    def check(self, streams: MemoryStreams, database: MemoryDatabase) -> None:
        """Nothing that was published is unjustified or doubled, and what is acknowledged has
        taken its effect (D1, D2)."""
        exits = streams.entries(EXITS)
        for _, fields in exits[self._exits_seen :]:
            self._check_exit(json.loads(fields[1]))
        self._exits_seen = len(exits)
        made = {(row.enrollment.tenant_id, row.enrollment.id, row.goal_config_id)
                for row in database.achievements}  # fmt: skip
        assert len(made) == len(database.achievements), "an achievement came twice"
        wanted = {(made.tenant, made.enrollment, made.goal) for made in self.model.achievements}
        assert made <= wanted, f"unjustified achievements: {made - wanted}"
        acknowledged = streams.stream(STREAM).acknowledged
        while self._paid < len(self.owed) and _id(self.owed[self._paid][0]) <= acknowledged:
            self._paid += 1
        if self._paid:
            _, exits_due, achievements_due = self.owed[self._paid - 1]
            for exit_ in self.model.exits[:exits_due]:
                key = exit_.tenant, exit_.enrollment
                assert key in self.ids, f"acknowledged, and its exit is not published: {key}"
                assert database.enrollments[key].status == "completed_goal"
            for one in self.model.achievements[:achievements_due]:
                assert (one.tenant, one.enrollment, one.goal) in made, f"lost: {one}"

    def check_all(self, streams: MemoryStreams, database: MemoryDatabase) -> None:
        """The same, and all that was published has taken its effect."""
        assert streams.unacknowledged(STREAM) == 0
        self.check(streams, database)
        assert set(self.ids) == set(self.exit_of)
        held = {
            key: (row.contact_id, row.workflow_id, row.status, sorted(row.met_goals))
            for key, row in database.enrollments.items()
        }
        assert held == {
            key: (row.contact, row.workflow, row.status, sorted(row.met))
            for key, row in self.model.enrollments.items()
        }
        dead = [fields[fields.index(b"id") + 1].decode() for _, fields in streams.entries(DEAD)]
        assert set(self.refused) <= set(dead), "what nobody can take is not buried"
        # An event may stand, in its batch, against one that turns out at the commit to be the
        # one in the wrong: then it is buried too, and no repeat of it would change anything.
        disputed = {_enrollment(self.refused[entry]) for entry in self.refused}
        for entry in set(dead) - set(self.refused):
            named = _enrollment(self.events[entry])
            assert named is not None
            assert named in disputed, f"buried for nothing: {entry}"

    def _check_exit(self, exit_: dict[str, Any]) -> None:
        data = exit_["data"]
        key = exit_["tenantid"], data["enrollment_id"]
        assert key in self.exit_of, f"an exit that nothing justifies: {exit_}"
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


class _Rooms(House):
    """What one process is given: all of the world by the gate of its fate."""

    def __init__(self, world: "World", fate: Fate) -> None:
        super().__init__(
            streams=world.streams,
            database=world.database,
            board=world.board,
            clock=world.clock,
            fail_point=fate.fail_point,
            read=ReadSettings(entries=3, bytes=1 << 20, in_flight_bytes=2_000, pause=0),
        )
        self._fate = fate
        self.store: Any = Gated(self.store, "store", fate)
        self.outbound: Any = Gated(self.outbound, "streams", fate)

    def open_stream(self, name: str) -> EventStream:
        stream: Any = Gated(super().open_stream(name), "streams", self._fate)
        return stream  # type: ignore[no-any-return]

    def open_leases(self) -> StreamLeases:
        leases: Any = Gated(super().open_leases(), "store", self._fate)
        return leases  # type: ignore[no-any-return]


class World:
    """A shard and a consumer, and whoever starts them again when they are dead."""

    def __init__(self, clock: LoopClock, seed: int) -> None:
        """`seed`: of all that is left to chance. To be made within the event loop."""
        self.clock = clock
        self.chance = random.Random(seed)
        self.services = Services()
        self.streams = MemoryStreams(clock)
        self.database = MemoryDatabase()
        self.board = MemoryBoard()
        self.account = Account()
        self.living: dict[str, Mortal] = {}
        self.older: list[tuple[str, Mortal]] = []
        """Those that are replaced, and may live all the same."""
        self.misleads = False
        """Whether a consumer reaches an older shard while that lives."""
        self.errors: list[BaseException] = []
        self.published: list[Any] = []
        self._numbers = itertools.count(1)
        self._replaced = {role: asyncio.Event() for role in ROLES}
        for number, (logic, goals) in enumerate(GOALS.items(), 1):
            self._configure(number, logic, goals)
        self._keeping = [asyncio.ensure_future(self._keep(role)) for role in ROLES]

    # What goes in

    async def send(self, kind: str, tenant: str, contact: str, **data: Any) -> None:
        """An event, later than all before it: so what comes again finds what it found."""
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
        """An event as it is; None for bytes that nobody can read."""
        body = b"{" if event is None else json.dumps(event).encode()
        self.published.append(event)
        self.account.take(await self.streams.add(STREAM, [b"event", body]), event)

    async def send_again(self, back: int, count: int) -> None:
        """Some of the entries that were published, in their order, as producers do."""
        first = max(0, len(self.published) - back)
        for event in self.published[first : first + count]:
            await self.publish(event)

    # What befalls it

    def replace(self, role: str) -> None:
        """Start another in the place of one that may live."""
        self._replaced[role].set()

    def ended(self) -> None:
        """Kill everything: the test is over."""
        for keeping in self._keeping:
            keeping.cancel()
        for one in [*self.living.values(), *(one for _, one in self.older)]:
            one.kill()

    async def settle(self) -> None:
        """No more faults: wait until all that was published is acknowledged, and what was committed
        is published. Fails after 60 s of the loop's time."""
        self.services.is_away.clear()
        self.services.faults.clear()
        self.misleads = False
        for role, one in [*self.living.items(), *self.older]:
            one.fate.bomb = None
            if one is not self.living[role]:
                one.kill()
            one.fate.thaw()
        async with asyncio.timeout(SETTLE_SECONDS):
            while not self.errors and (
                self.streams.unacknowledged(STREAM)
                or any(entry.published_at is None for entry in self.database.outbox.values())
            ):
                await asyncio.sleep(0.05)

    # How it goes on

    async def _keep(self, role: str) -> None:
        """As Ray does: whoever is dead is started again."""
        while True:
            one = self.living[role] = self._start(role)
            replaced = self._replaced[role]
            replaced.clear()
            waits = [asyncio.ensure_future(event.wait()) for event in (one.fate.died, replaced)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            if not one.fate.is_dead:
                self.older.append((role, one))
                continue
            await asyncio.sleep(0)  # until it has said what ended it
            if one.error is not None:
                self.errors.append(one.error)
            await asyncio.sleep(self.chance.choice(RESTART_SECONDS))

    def _start(self, role: str) -> Mortal:
        fate = Fate(self.services, self.chance)
        rooms = _Rooms(self, fate)
        if role == "shard":
            return Mortal(fate, rooms.shard())
        return Mortal(fate, rooms.consumer(FarShard(fate, self._shard, self.services, self.chance)))

    def _shard(self) -> Mortal | None:
        if self.misleads:
            for role, one in self.older:
                if role == "shard" and not one.fate.is_dead:
                    return one
        return self.living.get("shard")

    def _configure(
        self, version: int, logic: GoalLogic, goals: list[tuple[str, dict[str, str]]]
    ) -> None:
        for tenant in ("acme", "globex"):
            self.account.model.configure(
                tenant,
                f"w-{logic}",
                logic,
                True,
                [
                    Goal(id_, "tag_added", wanted, position=n)
                    for n, (id_, wanted) in enumerate(goals)
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
                        "criteria": json.dumps(wanted),
                        "is_active": True,
                        "effective_from": 0,
                        "created_at": 0,
                        "position": n,
                    }
                    for n, (id_, wanted) in enumerate(goals)
                ],
            }
            self.database.workflows.append((version, workflow))


def _enrollment(event: Any) -> tuple[str, str] | None:
    """Tenant and enrollment of an event that names one."""
    if event is None or "enrollment_id" not in event["data"]:
        return None
    return event["tenantid"], event["data"]["enrollment_id"]


def _id(entry_id: bytes) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(milliseconds), int(sequence)
