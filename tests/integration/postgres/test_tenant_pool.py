"""The API's connections see one tenant at a time, also after a failed or cancelled use (D8)."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from tests.support.services.servers import Database

from goald.adapters.postgres import tenants
from goald.adapters.postgres.tenants import TenantPool
from goald.domain.errors import ServiceUnavailable

SEEN = "SELECT goald.tenant()"
ADD = """
INSERT INTO goald.catalog_entities (tenant_id, kind, entity_id, name) VALUES ($1, 'tag', 't', 'T')
"""
COUNT = "SELECT count(*) FROM goald.catalog_entities"


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[TenantPool]:
    """A pool of one connection, so that the next use gets the same connection."""
    pool = TenantPool(database.dsn, 1)
    yield pool
    await pool.close()


async def test_tenant_sees_only_its_rows(pool: TenantPool) -> None:
    async with pool.tenant("acme") as connection:
        await connection.execute(ADD, "acme")
    async with pool.tenant("other", readonly=True) as connection:
        assert await connection.fetchval(COUNT) == 0
    async with pool.connection() as connection:
        assert await connection.fetchval(COUNT) == 0
    async with pool.tenant("acme", readonly=True) as connection:
        assert await connection.fetchval(COUNT) == 1


async def test_row_of_another_tenant_cannot_be_written(pool: TenantPool) -> None:
    with pytest.raises(Exception, match="row-level security"):
        async with pool.tenant("acme") as connection:
            await connection.execute(ADD, "other")


async def test_cancelled_use_leaves_no_tenant_and_no_change_behind(pool: TenantPool) -> None:
    for wait in ("SELECT pg_sleep(30)", "SELECT 1"):
        written = asyncio.Event()

        async def use(wait: str = wait, written: asyncio.Event = written) -> None:
            async with pool.tenant("acme", "someone") as connection:
                await connection.execute(ADD, "acme")
                written.set()
                await connection.execute(wait)
                await asyncio.Event().wait()

        task = asyncio.create_task(use())
        await written.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with pool.connection() as connection:
            assert await connection.fetchval(SEEN) is None
            assert not await connection.fetchval("SELECT current_setting('goald.actor', true)")
    async with pool.tenant("acme", readonly=True) as connection:
        assert await connection.fetchval(COUNT) == 0


async def test_body_that_raises_changes_nothing(pool: TenantPool) -> None:
    async def add_and_fail() -> None:
        async with pool.tenant("acme") as connection:
            await connection.execute(ADD, "acme")
            raise LookupError

    with pytest.raises(LookupError):
        await add_and_fail()
    async with pool.tenant("acme", readonly=True) as connection:
        assert await connection.fetchval(COUNT) == 0


async def test_reader_cannot_write(pool: TenantPool) -> None:
    with pytest.raises(ServiceUnavailable, match="read-only transaction"):
        async with pool.tenant("acme", readonly=True) as connection:
            await connection.execute(ADD, "acme")


async def test_statement_that_takes_too_long_is_ended(database: Database) -> None:
    pool = TenantPool(database.dsn, 1, statement_seconds=0.05)
    try:
        with pytest.raises(ServiceUnavailable, match="statement timeout"):
            async with pool.tenant("acme") as connection:
                await connection.execute("SELECT pg_sleep(30)")
    finally:
        await pool.close()


async def test_lost_connection_is_replaced(pool: TenantPool, database: Database) -> None:
    async with pool.connection() as connection:
        pid = connection.get_server_pid()
    admin = await asyncpg.connect(database.admin_dsn)

    async def use_while_it_is_lost() -> None:
        async with pool.tenant("acme") as connection:
            await admin.execute("SELECT pg_terminate_backend($1)", pid)
            await connection.execute(SEEN)

    try:
        with pytest.raises(ServiceUnavailable):
            await use_while_it_is_lost()
    finally:
        await admin.close()
    async with pool.tenant("acme") as connection:
        assert await connection.fetchval(SEEN) == "acme"


async def test_unreachable_server_raises_service_unavailable() -> None:
    pool = TenantPool("postgresql://unknown@/nothing?host=/nonexistent", 1)
    with pytest.raises(ServiceUnavailable):
        async with pool.tenant("acme"):
            pass
    await pool.close()


async def test_waiting_too_long_for_a_connection_raises(
    pool: TenantPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenants, "ACQUIRE_SECONDS", 0.05)
    async with pool.connection():
        with pytest.raises(ServiceUnavailable, match="all 1 connections of the API are busy"):
            async with pool.tenant("acme"):
                pass
    async with pool.tenant("acme") as connection:
        assert await connection.fetchval(SEEN) == "acme"


async def test_a_tenant_leaves_half_of_the_connections_to_the_others(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenants, "ACQUIRE_SECONDS", 0.2)
    pool = TenantPool(database.dsn, 4)
    async with pool.tenant("acme"), pool.tenant("acme"):
        with pytest.raises(ServiceUnavailable, match="all 2 connections that a tenant may use"):
            async with pool.tenant("acme"):
                pass
        async with pool.tenant("globex") as connection:
            assert await connection.fetchval(SEEN) == "globex"
    async with pool.tenant("acme") as connection:
        assert await connection.fetchval(SEEN) == "acme"
    await pool.close()


async def test_a_cancelled_or_failed_use_returns_its_share_of_connections(pool: TenantPool) -> None:
    async def use(fail: bool) -> None:
        async with pool.tenant("acme") as connection:
            await connection.execute("SELECT 1 / 0" if fail else "SELECT pg_sleep(30)")

    for number in range(6):
        task = asyncio.create_task(use(number % 2 == 0))
        waiting = asyncio.create_task(use(True))
        await asyncio.sleep(0)
        waiting.cancel()
        if number % 2:
            task.cancel()
        await asyncio.gather(task, waiting, return_exceptions=True)
    async with pool.tenant("acme") as connection:
        assert await connection.fetchval(SEEN) == "acme"
