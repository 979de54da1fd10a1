"""The memory store and the Postgres store have the same state after any history of batches, and
repeated batches change nothing."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.pipeline.changes import NOON, SECOND, Effect, change
from tests.support.services.servers import Database

from goald.adapters.memory.clock import ManualClock
from goald.adapters.memory.database import MemoryDatabase
from goald.adapters.memory.store import MemoryShardStore
from goald.adapters.postgres import PostgresShardStore
from goald.domain.slots import SlotRange
from goald.ports.change import Change, Conflict
from goald.ports.shard_store import ShardStore

ALL = SlotRange(0, 255)
ENDED = ("completed_goal", "completed", "exited", "cancelled")

effects = st.builds(
    Effect,
    enrollment_id=st.sampled_from(["e-1", "e-2", "e-3", "e-4"]),
    contact_id=st.sampled_from(["ann", "bob"]),
    workflow_id=st.sampled_from(["w-1", "w-2"]),
    is_new=st.booleans(),
    status=st.sampled_from(["active", *ENDED]),
    achieves=st.sampled_from([(), ("g",)]),
    messages=st.sampled_from([(), ("exit",), ("exit", "notice")]),
    match_values=st.sampled_from([None, '{"cart":"1"}', '{"cart":"2"}']),
).map(
    lambda effect: replace(
        effect,
        ended_at=None if effect.status == "active" else NOON + SECOND,
        met_goals=effect.achieves,
    )
)
batches = st.lists(effects, max_size=4, unique_by=lambda effect: effect.enrollment_id)
histories = st.lists(st.tuples(batches, st.integers(1, 3)), max_size=6)

Answer = tuple[bytes, list[Conflict], bool, list[str]]


def of_tenant(tenant: str, batch: list[Effect]) -> Change:
    return change(*(replace(effect, tenant_id=tenant) for effect in batch))


async def answers(store: ShardStore, sent: list[Change]) -> list[Answer]:
    lease = await store.acquire(ALL, "a")
    results = []
    for each in sent:
        committed = await store.commit(lease, each)
        results.append(
            (
                committed.effective,
                list(committed.conflicts),
                committed.is_stale,
                [stored.message.payload for stored in committed.outbox],
            )
        )
    return results


async def compare(database: Database, history: list[tuple[list[Effect], int]]) -> None:
    tenant = str(uuid4())
    sent = [of_tenant(tenant, batch) for batch, times in history for _ in range(times)]
    memory = MemoryDatabase()
    store = PostgresShardStore(database.dsn)
    admin = await asyncpg.connect(database.admin_dsn)
    try:
        assert await answers(store, sent) == await answers(
            MemoryShardStore(memory, ManualClock()), sent
        )
        rows = await admin.fetch(
            "SELECT id, contact_id, workflow_id, status, cardinality(met_goals),"
            " replace(match_values::text, ' ', '')"
            " FROM goald.workflow_enrollments WHERE tenant_id = $1 ORDER BY id",
            tenant,
        )
        assert [tuple(row) for row in rows] == [
            (
                row.id,
                row.contact_id,
                row.workflow_id,
                row.status,
                len(row.met_goals),
                row.match_values,
            )
            for _, row in sorted(memory.enrollments.items())
        ]
    finally:
        await admin.close()
        await store.close()


# All examples share the database; each uses a new tenant.
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(histories)
def test_the_memory_store_and_the_postgres_store_answer_the_same(
    database: Database, history: list[tuple[list[Effect], int]]
) -> None:
    asyncio.run(compare(database, history))


@given(st.lists(st.tuples(batches, st.integers(2, 3)), max_size=6))
def test_a_repeated_batch_that_ends_what_it_starts_changes_nothing(
    history: list[tuple[list[Effect], int]],
) -> None:
    """Limited to batches that start or end enrollments."""
    memory = MemoryDatabase()

    async def run() -> None:
        store = MemoryShardStore(memory, ManualClock())
        lease = await store.acquire(ALL, "a")
        for batch, times in history:
            ending = [effect for effect in batch if effect.is_new or effect.status != "active"]
            sent = of_tenant("acme", ending)
            first = await store.commit(lease, sent)
            before = (len(memory.achievements), len(memory.outbox))
            for _ in range(times - 1):
                again = await store.commit(lease, sent)
                assert not any(again.effective)
                assert not again.outbox
            assert (len(memory.achievements), len(memory.outbox)) == before
            assert len(first.effective) == len(ending)

    asyncio.run(run())
