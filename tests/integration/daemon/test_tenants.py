"""Two tenants share two connections, and callers disconnect at any moment: neither tenant ever
sees data of the other (D8)."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx
import psycopg
import pytest
from tests.support.api.client import DEADLINE_S, Api
from tests.support.services.servers import Database

from goald.adapters.postgres import tenants
from goald.adapters.postgres.tenants import TenantPool
from goald.api.admission.places import WorkLimits
from goald.runtime.wiring import api as wiring

TENANTS = ("acme", "globex")
REQUESTS = 10_000
CONCURRENCY = 24
CANCELLED = 0.1
"""The fraction of calls that are cancelled, or disconnect, at a random moment."""

TABLES = (
    "workflows",
    "workflow_goals",
    "catalog_entities",
    "workflow_enrollments",
    "workflow_goal_achievements",
    "workflow_days",
    "workflow_times_to_goal",
    "audit_log",
    "audit_heads",
    "webhook_secrets",
    "sources",
)
VISIBLE_ROWS = " UNION ".join(f"SELECT tenant_id, '{table}' FROM goald.{table}" for table in TABLES)


@pytest.fixture(autouse=True)
def long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise the limits for waiting for a connection and for the place of a list, so that no request
    is refused on a busy machine."""
    monkeypatch.setattr(tenants, "ACQUIRE_SECONDS", DEADLINE_S)
    lists = WorkLimits(total=8, per_tenant=2, waiting=REQUESTS, wait_s=DEADLINE_S)
    monkeypatch.setattr(wiring, "LISTS", lists)


def fill(database: Database) -> None:
    """Insert the same rows for both tenants, under the same ids. Only tenant and name differ."""
    with psycopg.connect(database.admin_dsn) as admin:
        for slot, tenant in enumerate(TENANTS):
            row = {"tenant": tenant, "slot": slot, "name": f"of {tenant}"}
            for statement in (
                "INSERT INTO goald.workflows (tenant_id, id, name, config_version, is_active)"
                " VALUES (%(tenant)s, 'w', %(name)s, 1, true)",
                "INSERT INTO goald.workflow_goals"
                " (tenant_id, id, workflow_id, position, goal_type, criteria) VALUES (%(tenant)s,"
                " gen_random_uuid(), 'w', 0, 'tag_added',"
                " jsonb_build_object('tag_name', %(name)s::text))",
                "INSERT INTO goald.catalog_entities (tenant_id, kind, entity_id, name)"
                " VALUES (%(tenant)s, 'tag', 't', %(name)s)",
                "INSERT INTO goald.webhook_secrets (tenant_id, provider, secret)"
                " VALUES (%(tenant)s, 'pay', sha256(%(name)s::bytea))",
                "INSERT INTO goald.sources (tenant_id, name, preset, overrides, key_digest)"
                " VALUES (%(tenant)s, 'pay', 'stripe', '{}', sha256(%(name)s::bytea))",
                "INSERT INTO goald.workflow_enrollments (tenant_id, id, contact_id, workflow_id,"
                " slot, status, enrolled_at, ended_at, last_achieved_at, met_types) VALUES"
                " (%(tenant)s, 'e', %(name)s, 'w', %(slot)s, 'completed_goal', now(), now(),"
                " now(), 1)",
                "INSERT INTO goald.workflow_goal_achievements"
                " (tenant_id, id, workflow_id, workflow_enrollment_id, contact_id, goal_config_id,"
                " goal_type, slot, achieved_at, trigger_event, metadata) VALUES (%(tenant)s,"
                " gen_random_uuid(), 'w', 'e', %(name)s, gen_random_uuid(), 'tag_added',"
                " %(slot)s, now(), jsonb_build_object('tag_name', %(name)s::text), '{}')",
            ):
                admin.execute(statement, row)


async def interleaved(
    send: Callable[[str, random.Random], Awaitable[bool]], seed: int, *, cancelled: float
) -> dict[str, int]:
    """Call `send` REQUESTS times for random tenants, at most CONCURRENCY in flight, and cancel
    this fraction of the calls at a random moment. `send` returns whether it read a result.
    Returns how many calls did, by tenant."""
    rng = random.Random(seed)
    permits = asyncio.Semaphore(CONCURRENCY)
    completed = dict.fromkeys(TENANTS, 0)

    async def call(tenant: str) -> None:
        try:
            has_result = await send(tenant, rng)
            completed[tenant] += has_result
        finally:
            permits.release()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(REQUESTS):
            await permits.acquire()
            task = tasks.create_task(call(rng.choice(TENANTS)))
            if rng.random() < cancelled:
                asyncio.get_running_loop().call_later(rng.random() * 0.02, task.cancel)
    return completed


def assert_most_completed(completed: dict[str, int]) -> None:
    """Each tenant made about half of the calls, and most of them completed."""
    assert all(count > REQUESTS * 0.35 for count in completed.values()), completed


@pytest.mark.parametrize("seed", [1])
async def test_two_connections_never_show_one_tenant_to_the_other(
    database: Database, seed: int
) -> None:
    """Over SQL, with the role of the API, on every table with a tenant."""
    fill(database)
    pool = TenantPool(database.dsn, 2)

    async def read_all(tenant: str, rng: random.Random) -> bool:
        async with pool.tenant(tenant, readonly=rng.random() < 0.5) as connection:
            rows = await connection.fetch(VISIBLE_ROWS)
            assert {row[0] for row in rows} == {tenant}
            assert {row[1] for row in rows} == set(TABLES)
            if rng.random() < 0.1:
                with suppress(ZeroDivisionError):
                    async with connection.transaction():
                        await connection.execute("SELECT 1")
                        raise ZeroDivisionError
        return True

    try:
        assert_most_completed(await interleaved(read_all, seed, cancelled=CANCELLED))
        async with pool.connection() as connection:
            assert await connection.fetch(VISIBLE_ROWS) == []
    finally:
        await pool.close()


@pytest.mark.parametrize("seed", [2])
async def test_ten_thousand_requests_never_show_one_tenant_to_the_other(
    database: Database, make_api: Callable[..., Api], seed: int
) -> None:
    """Over HTTP, with an API that has two connections and clients that disconnect."""
    fill(database)
    api = make_api(api_connections=2, quota_requests=0)
    workflow = "/api/v1/workflows/w"
    paths = (
        "/api/v1/workflows",
        workflow,
        f"{workflow}/goals",
        f"{workflow}/goals/stats",
        f"{workflow}/enrollments",
        f"{workflow}/achievements",
        f"{workflow}/listeners",
        "/api/v1/catalog/tag/t",
        "/api/v1/audit",
    )
    with_names = {paths[0], paths[1], paths[2], paths[4], paths[5], paths[7], paths[8]}

    async def get(tenant: str, rng: random.Random) -> bool:
        path = rng.choice(paths)
        if rng.random() < CANCELLED:
            await request_and_disconnect(api.url, path, tokens[tenant], rng.random() * 0.02)
            return False
        response = await clients[tenant].get(path)
        other = TENANTS[1 - TENANTS.index(tenant)]
        assert response.status_code == 200, (path, response.text)
        assert other not in response.text, (path, response.text)
        if path in with_names:
            assert f"of {tenant}" in response.text, (path, response.text)
        return True

    tokens = {tenant: api.token(tenant) for tenant in TENANTS}
    async with both_clients(api) as clients:
        assert_most_completed(await interleaved(get, seed, cancelled=0.0))


async def request_and_disconnect(url: str, path: str, token: str, seconds: float) -> None:
    """Send a request over its own connection, and abort that after some seconds.

    Not a cancelled call of httpx, which leaks the socket if it is cancelled while connecting.
    """
    address = httpx.URL(url)
    _, writer = await asyncio.open_connection(address.host, address.port)
    headers = f"Host: {address.host}\r\nAuthorization: Bearer {token}\r\n"
    writer.write(f"GET {path} HTTP/1.1\r\n{headers}\r\n".encode())
    await asyncio.sleep(seconds)
    writer.transport.abort()
    with suppress(ConnectionError):
        await writer.wait_closed()


@asynccontextmanager
async def both_clients(api: Api) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    async with api.async_client(TENANTS[0]) as first, api.async_client(TENANTS[1]) as second:
        yield dict(zip(TENANTS, (first, second), strict=True))
