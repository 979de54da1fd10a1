"""Only the current lease holder writes to Postgres, when holders hang or die (D3, D6)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import asyncpg
import pytest
from tests.support.pipeline.changes import NOON, SECOND, Effect, change
from tests.support.services.servers import Database

from goald.adapters.postgres import PostgresShardStore, PostgresStreamLeases
from goald.domain.errors import (
    CommitUnknown,
    ContentRefused,
    LeaseLost,
    SchemaMismatch,
    ServiceUnavailable,
)
from goald.domain.leases import SlotLease
from goald.domain.records.enrollment import EnrollmentStatus
from goald.domain.slots import SlotRange

ALL = SlotRange(0, 255)
DEADLINE = 20.0


@pytest.fixture
async def new_store(database: Database) -> AsyncIterator[Callable[[], PostgresShardStore]]:
    stores: list[PostgresShardStore] = []

    def make() -> PostgresShardStore:
        stores.append(PostgresShardStore(database.dsn))
        return stores[-1]

    yield make
    for store in stores:
        await store.close()


@pytest.fixture
async def admin(database: Database) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database.admin_dsn)
    yield connection
    await connection.close()


@asynccontextmanager
async def in_the_way(admin: Any, enrollment: str) -> AsyncIterator[None]:
    """Blocks inserts of this enrollment until the `with` block ends with a rollback."""
    transaction = admin.transaction()
    await transaction.start()
    try:
        await admin.execute(
            "INSERT INTO goald.workflow_enrollments"
            " (tenant_id, id, contact_id, workflow_id, slot, status, enrolled_at)"
            " VALUES ('acme', $1, 'ann', 'w-1', 3, 'active', now())",
            enrollment,
        )
        yield
    finally:
        await transaction.rollback()


async def until_a_backend_waits(database: Database, name: str = "goald-commit") -> None:
    """Wait until a connection with this application name waits for a lock."""
    connection = await asyncpg.connect(database.admin_dsn)
    try:
        async with asyncio.timeout(DEADLINE):
            while not await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = $1 AND wait_event_type = 'Lock'",
                name,
            ):
                await connection.execute("SELECT pg_sleep(0.01)")
    finally:
        await connection.close()


async def enrollments(admin: Any) -> list[str]:
    rows = await admin.fetch("SELECT id FROM goald.workflow_enrollments ORDER BY id")
    return [row["id"] for row in rows]


async def test_taker_ends_a_commit_that_hangs(
    database: Database, new_store: Callable[[], PostgresShardStore], admin: Any
) -> None:
    old, new = new_store(), new_store()
    old_lease = await old.acquire(ALL, "old")
    async with asyncio.timeout(DEADLINE), in_the_way(admin, "e-stuck"):
        hanging = asyncio.ensure_future(
            old.commit(old_lease, change(Effect("e-before"), Effect("e-stuck")))
        )
        await until_a_backend_waits(database)
        lease = await new.acquire(ALL, "new")
        with pytest.raises(CommitUnknown):
            await hanging
    assert await enrollments(admin) == []
    with pytest.raises(LeaseLost):
        await old.commit(old_lease, change(Effect("e-late")))
    assert (await new.commit(lease, change(Effect("e-new")))).effective == b"\1"
    assert await enrollments(admin) == ["e-new"]


async def test_hanging_commit_does_not_delay_renewals(
    database: Database, new_store: Callable[[], PostgresShardStore], admin: Any
) -> None:
    store = new_store()
    lease = await store.acquire(ALL, "a")
    async with asyncio.timeout(DEADLINE):
        async with in_the_way(admin, "e-stuck"):
            hanging = asyncio.ensure_future(store.commit(lease, change(Effect("e-stuck"))))
            await until_a_backend_waits(database)
            await store.renew(lease, 1)
        assert (await hanging).effective == b"\1"


async def test_slow_outbox_does_not_delay_renewals(
    database: Database, new_store: Callable[[], PostgresShardStore], admin: Any
) -> None:
    store = new_store()
    lease = await store.acquire(ALL, "a")
    committed = await store.commit(lease, change(Effect("e-1", messages=["one"])))
    await store.outbox.mark_published(lease, [row.number for row in committed.outbox])
    async with asyncio.timeout(DEADLINE):
        async with admin.transaction():
            await admin.fetch("SELECT number FROM goald.outbox FOR UPDATE")
            forgetting = asyncio.ensure_future(store.outbox.delete_published(lease, -1))
            await until_a_backend_waits(database, "goald-shard")
            await store.renew(lease, 1)
        assert await forgetting == 1


async def test_cancelled_commit_leaves_the_store_usable_and_writes_nothing_later(
    database: Database, new_store: Callable[[], PostgresShardStore], admin: Any
) -> None:
    store = new_store()
    lease = await store.acquire(ALL, "a")
    async with asyncio.timeout(DEADLINE), in_the_way(admin, "e-stuck"):
        hanging = asyncio.ensure_future(store.commit(lease, change(Effect("e-stuck"))))
        await until_a_backend_waits(database)
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        assert (await store.commit(lease, change(Effect("e-next")))).effective == b"\1"
    assert await enrollments(admin) == ["e-next"]


async def test_store_connects_again_after_its_backends_were_ended(
    new_store: Callable[[], PostgresShardStore], admin: Any
) -> None:
    store = new_store()
    lease = await store.acquire(ALL, "a")
    await store.renew(lease, 0)
    await admin.fetch(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE 'goald%'"
    )
    try:
        await store.commit(lease, change(Effect("e-1")))
    except CommitUnknown:
        await store.commit(lease, change(Effect("e-1")))
    try:
        await store.renew(lease, 0)
    except ServiceUnavailable:
        await store.renew(lease, 0)
    assert await enrollments(admin) == ["e-1"]


async def test_concurrent_takers_leave_one_holder(
    new_store: Callable[[], PostgresShardStore],
) -> None:
    stores = [new_store() for _ in range(4)]
    ranges = [SlotRange(0, 255), SlotRange(0, 127), SlotRange(100, 200), SlotRange(0, 255)]
    results = await asyncio.gather(
        *(store.acquire(slots, "x") for store, slots in zip(stores, ranges, strict=True)),
        return_exceptions=True,
    )
    holding = []
    for store, lease in zip(stores, results, strict=True):
        if isinstance(lease, ServiceUnavailable):
            continue  # Another process ended the connection; a holder would acquire again.
        assert not isinstance(lease, BaseException)
        try:
            await store.check(lease)
            holding.append(lease)
        except (LeaseLost, ServiceUnavailable):
            pass
    owned = [slot for lease in holding for slot in range(lease.slots.first, lease.slots.last + 1)]
    assert holding
    assert len(owned) == len(set(owned))


async def test_every_confirmed_commit_is_stored_once_while_holders_change(
    new_store: Callable[[], PostgresShardStore], admin: Any
) -> None:
    answered: list[str] = []

    async def hold(name: str, store: PostgresShardStore, is_busy: asyncio.Event) -> None:
        lease = await store.acquire(ALL, name)
        for number in range(1_000):
            enrollment = f"e-{name}-{number:04}"
            try:
                await store.commit(lease, change(Effect(enrollment, achieves=["g"])))
            except (LeaseLost, CommitUnknown):
                return
            answered.append(enrollment)
            if number == 5:
                is_busy.set()

    stores = [new_store() for _ in range(5)]
    holders = []
    async with asyncio.timeout(DEADLINE):
        for index, store in enumerate(stores):
            is_busy = asyncio.Event()
            holders.append(asyncio.ensure_future(hold(str(index), store, is_busy)))
            await is_busy.wait()
        await new_store().acquire(ALL, "last")
        await asyncio.gather(*holders)
    kept = await enrollments(admin)
    assert set(answered) <= set(kept)
    assert len(kept) == len(set(kept))
    assert len(kept) - len(answered) <= len(stores)  # at most the one in flight of each
    achieved = await admin.fetch(
        "SELECT workflow_enrollment_id FROM goald.workflow_goal_achievements ORDER BY 1"
    )
    assert [row[0] for row in achieved] == kept


async def test_load_without_row_security_settings_raises_an_error(
    new_store: Callable[[], PostgresShardStore], database: Database
) -> None:
    store = new_store()
    await store.commit(await store.acquire(ALL, "a"), change(Effect("e-1")))
    connection = await asyncpg.connect(database.dsn, server_settings={"role": "goald_shard"})
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.copy_from_query(
                "SELECT * FROM goald.workflow_enrollments", output=lambda _: asyncio.sleep(0)
            )
    finally:
        await connection.close()


async def test_unreachable_server_is_distinguished_from_an_unknown_commit() -> None:
    store = PostgresShardStore("postgresql:///goald?host=/nowhere&user=goald")
    leases = PostgresStreamLeases("postgresql:///goald?host=/nowhere&user=goald")
    with pytest.raises(ServiceUnavailable):
        lease = await store.acquire(ALL, "a")
    with pytest.raises(ServiceUnavailable):
        await leases.acquire("goald:events:0", "a")
    lease = SlotLease(ALL, 1, "a")
    with pytest.raises(CommitUnknown):
        await store.commit(lease, change(Effect("e-1")))


async def test_database_without_the_schema_raises_schema_mismatch(empty_database: Database) -> None:
    store = PostgresShardStore(empty_database.dsn)
    try:
        with pytest.raises(SchemaMismatch, match="goald migrate"):
            await store.acquire(ALL, "a")
    finally:
        await store.close()


async def test_row_that_postgres_refuses_writes_nothing_of_its_batch(
    new_store: Callable[[], PostgresShardStore], admin: Any
) -> None:
    store = new_store()
    lease = await store.acquire(ALL, "a")
    with pytest.raises(ContentRefused):
        await store.commit(
            lease, change(Effect("e-1"), Effect("e-2", status=cast(EnrollmentStatus, "no status")))
        )
    assert await enrollments(admin) == []
    await store.commit(lease, change(Effect("e-1", ended_at=None, enrolled_at=NOON)))
    assert await enrollments(admin) == ["e-1"]


async def test_commit_of_a_deletion_touches_no_row_of_the_contacts_history(
    new_store: Callable[[], PostgresShardStore], admin: Any
) -> None:
    """A contact may have any number of ended enrollments, and other tenants would wait for them."""
    store = new_store()
    lease = await store.acquire(ALL, "a")
    ended = Effect("e-1", status="completed_goal", ended_at=NOON, achieves=["g"], messages=["one"])
    await store.commit(lease, change(ended))
    async with asyncio.timeout(DEADLINE), admin.transaction():
        for table in ("workflow_enrollments", "workflow_goal_achievements", "outbox"):
            await admin.fetch(f"SELECT FROM goald.{table} FOR UPDATE")
        await store.commit(lease, change(deletions=[("acme", "ann", 3, NOON + 2 * SECOND)]))
    assert await admin.fetchval("SELECT count(*) FROM goald.erasures") == 1


async def test_exits_are_kept_if_postgres_repeats_an_outbox_number(
    new_store: Callable[[], PostgresShardStore], admin: Any
) -> None:
    """Logical replication does not copy sequences, so numbers may repeat. No event causes this."""
    store = new_store()
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(Effect("e-1", messages=["one"])))
    await admin.execute("ALTER TABLE goald.outbox ALTER number RESTART")
    exit_ = change(Effect("e-2", messages=["two"]))
    with pytest.raises(CommitUnknown):
        await store.commit(lease, exit_)
    committed = await store.commit(lease, exit_)
    assert [row.message.payload for row in committed.outbox] == ["two"]


async def test_an_epoch_repeated_by_a_restored_postgres_does_not_revive_the_old_lease(
    new_store: Callable[[], PostgresShardStore], database: Database, admin: Any
) -> None:
    """An older copy (D10) continues from its last epoch, so it assigns lost epochs again, to other
    leases."""
    store, leases = new_store(), PostgresStreamLeases(database.dsn)
    try:
        slots = await store.acquire(ALL, "lost-shard")
        stream = await leases.acquire("goald:events:0", "lost-consumer")
        await admin.execute("UPDATE goald.leases SET holder = 'another'")
        before = await admin.fetch("SELECT * FROM goald.leases ORDER BY epoch")
        for refused in (
            store.check(slots),
            store.renew(slots, 1),
            store.load(slots, lambda piece: None),
            store.commit(slots, change(Effect("e-1"))),
            leases.renew(stream),
        ):
            with pytest.raises(LeaseLost):
                await refused
        await store.release(slots)
        await leases.release(stream)
        assert await admin.fetch("SELECT * FROM goald.leases ORDER BY epoch") == before
        assert await admin.fetchval("SELECT count(*) FROM goald.workflow_enrollments") == 0
    finally:
        await leases.close()
