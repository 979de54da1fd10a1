"""The state of one contact: its enrollments and their workflows, without those of other contacts
and tenants (D8)."""

import json
from collections.abc import AsyncIterator
from typing import Protocol
from uuid import uuid4

import asyncpg
import pytest
from tests.contract.store_backends import MemoryTables, PostgresTables
from tests.support.pipeline.changes import NOON, SECOND, Effect, change
from tests.support.services.servers import Database

from goald import _native
from goald._native import with_contact
from goald.adapters.memory.contacts import MemoryContacts
from goald.adapters.memory.database import MemoryDatabase
from goald.adapters.postgres.records import contacts as postgres_contacts
from goald.adapters.postgres.records.contacts import PostgresContacts
from goald.adapters.postgres.tenants import TenantPool
from goald.domain.ids import ContactId, EnrollmentId, TenantId, WorkflowId
from goald.domain.records.enrollment import Enrollment
from goald.domain.slots import SlotRange, slot_of
from goald.ports.change import ContactMerge
from goald.ports.configuration import GoalConfiguration, WorkflowConfiguration
from goald.ports.contacts import ContactReader, ContactState
from goald.ports.shard_store import ShardStore

ALL = SlotRange(0, 255)
GOAL = "0b9c1f0e-3a52-4a52-9d5e-6a7b8c9d0e1f"


class Contacts(ContactReader, Protocol):
    async def enrollment(self, tenant: str, enrollment_id: str) -> Enrollment | None: ...


class World(Protocol):
    """Tables with a store that fills them and a reader of contacts."""

    @property
    def store(self) -> ShardStore: ...

    @property
    def contacts(self) -> Contacts: ...

    @property
    def few(self) -> Contacts:
        """A reader limited to two enrollments of each kind."""

    async def configure(self, tenant: str, workflow: str) -> None:
        """A workflow whose goal is the tag `t`."""

    async def close(self) -> None: ...


class MemoryWorld:
    def __init__(self) -> None:
        self._tables = MemoryTables()
        self._database: MemoryDatabase = self._tables._database
        self.store = self._tables.store()
        self.contacts = MemoryContacts(self._database)
        self.few = MemoryContacts(self._database, most_active=2, most_ended=2)

    async def configure(self, tenant: str, workflow: str) -> None:
        goal: GoalConfiguration = {
            "id": GOAL,
            "goal_type": "tag_added",
            "criteria": json.dumps({"tag_id": "t"}),
            "is_active": True,
            "effective_from": 0,
            "created_at": 0,
            "position": 0,
        }
        listed: WorkflowConfiguration = {
            "tenant_id": tenant,
            "workflow_id": workflow,
            "goal_logic": "any",
            "is_active": True,
            "goals": [goal],
        }
        self._database.workflows.append((len(self._database.workflows) + 1, listed))

    async def close(self) -> None:
        await self._tables.close()


class PostgresWorld:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._tables = PostgresTables(database)
        self._pool = TenantPool(database.dsn, 2)
        self.store = self._tables.store()
        self.contacts = PostgresContacts(self._pool)
        self.few = PostgresContacts(self._pool, most_active=2, most_ended=2)

    async def configure(self, tenant: str, workflow: str) -> None:
        connection = await asyncpg.connect(self._database.admin_dsn)
        try:
            await connection.execute(
                "INSERT INTO goald.workflows (tenant_id, id, name, is_active, config_version)"
                " VALUES ($1, $2, $2, true, nextval('goald.config_version'))",
                tenant,
                workflow,
            )
            await connection.execute(
                "INSERT INTO goald.workflow_goals (tenant_id, id, workflow_id, position,"
                " goal_type, criteria, effective_from)"
                " VALUES ($1, gen_random_uuid(), $2, 0, 'tag_added', $3, 'epoch')",
                tenant,
                workflow,
                json.dumps({"tag_id": "t"}),
            )
        finally:
            await connection.close()

    async def close(self) -> None:
        await self._tables.close()
        await self._pool.close()


@pytest.fixture(params=["memory", "postgres"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    world: MemoryWorld | PostgresWorld
    if request.param == "memory":
        world = MemoryWorld()
    else:
        world = PostgresWorld(request.getfixturevalue("database"))
    yield world
    await world.close()


async def commit(world: World, *effects: Effect) -> None:
    lease = await world.store.acquire(ALL, "a")
    await world.store.commit(lease, change(*effects))


def active(state: ContactState) -> list[str]:
    """The enrollments that a matcher finds for a tag event of ann, and the goals matched."""
    matcher = _native.Matcher()
    matcher.update_workflows(state.workflows)
    matcher.load(state.active)
    event = {
        "id": "x",
        "source": "s",
        "type": "contact.tag.added",
        "time": "2999-01-01T00:00:00Z",
        "tenantid": "acme",
        "data": {"contact_id": "ann", "tag_id": "t"},
    }
    explained = json.loads(matcher.explain(json.dumps(event).encode(), 1 << 60))
    assert matcher.load_ended()
    return [f"{row['enrollment_id']} {row['matched']}" for row in explained["enrollments"]]


async def test_a_matcher_accepts_the_active_enrollments_and_their_workflows(
    world: World,
) -> None:
    await world.configure("acme", "w-1")
    await world.configure("acme", "w-unused")
    await commit(
        world,
        Effect("e-1", workflow_id="w-1"),
        Effect("e-2", workflow_id="w-unknown"),
        Effect("e-3", contact_id="bob"),
    )
    state = await world.contacts.read(TenantId("acme"), ContactId("ann"))
    assert sorted(active(state)) == ["e-1 True", "e-2 False"]
    assert [workflow["workflow_id"] for workflow in state.workflows] == ["w-1"]
    assert (list(state.ended), state.truncated) == ([], False)


async def test_ended_enrollments_are_listed_last_ended_first(world: World) -> None:
    await commit(
        world,
        Effect("e-1", status="completed", ended_at=NOON + SECOND, pending_actions=3),
        Effect("e-2", status="cancelled", ended_at=NOON + 2 * SECOND),
        Effect("e-3"),
    )
    state = await world.contacts.read(TenantId("acme"), ContactId("ann"))
    last, first = state.ended
    assert (last.id, last.status) == ("e-2", "cancelled")
    assert first == Enrollment(
        id=EnrollmentId("e-1"),
        workflow_id=WorkflowId("w-1"),
        contact_id=ContactId("ann"),
        status="completed",
        enrolled_at=NOON,
        ended_at=NOON + SECOND,
        met_goals=[],
        pending_actions=3,
        cancelled_actions=None,
        exit_acknowledged_at=None,
    )


async def test_rows_of_another_tenant_are_invisible(world: World) -> None:
    await world.configure("globex", "w-1")
    await commit(world, Effect("e-1", tenant_id="globex"))
    state = await world.contacts.read(TenantId("acme"), ContactId("ann"))
    assert (active(state), state.workflows, list(state.ended)) == ([], [], [])
    assert await world.contacts.enrollment("acme", "e-1") is None
    found = await world.contacts.enrollment("globex", "e-1")
    assert found is not None
    assert found.contact_id == "ann"


async def test_more_enrollments_than_the_limit_are_truncated_and_marked(world: World) -> None:
    await commit(
        world,
        *(Effect(f"e-{n}", enrolled_at=NOON + n * SECOND) for n in range(2)),
        *(Effect(f"d-{n}", status="exited", ended_at=NOON + n) for n in range(2)),
    )
    state = await world.few.read(TenantId("acme"), ContactId("ann"))
    assert (len(active(state)), len(state.ended), state.truncated) == (2, 2, False)
    await commit(world, *(Effect(f"e-{n}", enrolled_at=NOON + n * SECOND) for n in range(2, 9)))
    state = await world.few.read(TenantId("acme"), ContactId("ann"))
    assert sorted(row.split()[0] for row in active(state)) == ["e-7", "e-8"]
    assert state.truncated
    await commit(
        world, *(Effect(f"d-{n}", status="exited", ended_at=NOON + n) for n in range(2, 9))
    )
    state = await world.few.read(TenantId("acme"), ContactId("ann"))
    assert [row.id for row in state.ended] == ["d-8", "d-7"]


async def test_start_state_counts_active_enrollments_and_finds_ids(world: World) -> None:
    lease = await world.store.acquire(ALL, "a")
    ended = Effect("e-3", status="exited", ended_at=NOON)
    known = Effect("e-4", status="exited", ended_at=NOON, received_at=NOON)
    other = Effect("e-9", tenant_id="globex")
    await world.store.commit(lease, change(Effect("e-1"), Effect("e-2"), ended, known, other))
    ann, bob = ContactId("ann"), ContactId("bob")
    ids = ["e-1", "e-3", "e-4", "e-9"]
    state = await world.contacts.start_state(TenantId("acme"), [ann, bob], ids)
    assert state.active == {ann: 2, bob: 0}
    assert set(state.existing) == {"e-1", "e-3", "e-4"}
    earlier = "ann", "w-1", NOON - SECOND
    assert [state.ended[each].refuses(*earlier) for each in ("e-3", "e-4")] == [False, True]


async def test_start_state_knows_the_runs_of_a_merged_contact_by_the_other(
    world: World,
) -> None:
    lease = await world.store.acquire(ALL, "a")
    await world.store.commit(
        lease, change(Effect("e-1", "bea"), Effect("e-2", status="exited", ended_at=NOON))
    )
    slot = slot_of("acme", "ann")
    merge = ContactMerge("acme", "ann", slot, "bea", str(uuid4()), NOON + SECOND, NOON + SECOND)
    await world.store.commit(lease, change(merges=[merge]))
    ann, bea = ContactId("ann"), ContactId("bea")
    for _ in ("before its runs move", "afterwards"):
        state = await world.contacts.start_state(TenantId("acme"), [ann, bea], ["e-1", "e-2"])
        assert (state.continuing[ann], state.active) == (bea, {bea: 1})
        assert [state.existing[each] for each in ("e-1", "e-2")] == [(bea, "w-1"), (bea, "w-1")]
        assert state.ended["e-2"].refuses(bea, "w-1", NOON + SECOND)
        for transfer in await world.store.transfers(lease):
            await world.store.adopt(lease, transfer, with_contact)


async def test_start_state_counts_a_bounded_number_of_enrollments(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isinstance(world.contacts, PostgresContacts):
        pytest.skip("counts in memory")
    monkeypatch.setattr(postgres_contacts, "MAX_COUNTED", 3)
    await commit(world, *(Effect(f"{name}-{n}", name) for name in ("ann", "bob") for n in range(2)))
    ann, bob, cyd = (ContactId(name) for name in ("ann", "bob", "cyd"))
    state = await world.contacts.start_state(TenantId("acme"), [bob, ann, cyd], [])
    assert state.active == {bob: 2, ann: 1, cyd: 0}
