"""Two tenants share two connections, and callers go away in the middle: nothing of the one is
ever seen by the other (D8)."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import psycopg
import pytest
from tests.support.api.client import DEADLINE_S, Api
from tests.support.services.servers import Database

from goald.adapters.postgres import tenants
from goald.adapters.postgres.tenants import TenantPool

TENANTS = ("acme", "globex")
REQUESTS = 10_000
AT_ONCE = 24
CANCELLED = 0.1
"""The share of requests whose caller goes away, at any moment."""

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
)
SEEN = " UNION ".join(f"SELECT tenant_id, '{table}' FROM goald.{table}" for table in TABLES)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer over all who wait for a connection than anybody is let
    wait for one. Who waits sees nothing, and is asked to be served all the same."""
    monkeypatch.setattr(tenants, "ACQUIRE_SECONDS", DEADLINE_S)


def fill(database: Database) -> None:
    """The same rows for both tenants, under the same ids: only the tenant tells them apart."""
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


async def interleaved(ask: Callable[[str, random.Random], Any], seed: int) -> dict[str, int]:
    """REQUESTS calls of `ask` for tenants drawn at random, AT_ONCE under way, some of them
    cancelled at a moment drawn at random; how many ended by themselves, for each tenant."""
    drawn = random.Random(seed)
    places = asyncio.Semaphore(AT_ONCE)
    ended = dict.fromkeys(TENANTS, 0)

    async def item(tenant: str) -> None:
        try:
            await ask(tenant, drawn)
            ended[tenant] += 1
        finally:
            places.release()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(REQUESTS):
            await places.acquire()
            task = tasks.create_task(item(drawn.choice(TENANTS)))
            if drawn.random() < CANCELLED:
                asyncio.get_running_loop().call_later(drawn.random() * 0.02, task.cancel)
    return ended


def assert_most_ended(ended: dict[str, int]) -> None:
    """Each tenant was served about half of what was not cancelled."""
    assert all(count > REQUESTS * 0.35 for count in ended.values()), ended


@pytest.mark.parametrize("seed", [1])
async def test_two_connections_never_show_one_tenant_to_the_other(
    database: Database, seed: int
) -> None:
    """By SQL, as the API's role, over every table that tells of a tenant."""
    fill(database)
    pool = TenantPool(database.dsn, 2)

    async def look(tenant: str, drawn: random.Random) -> None:
        async with pool.tenant(tenant, readonly=drawn.random() < 0.5) as connection:
            rows = await connection.fetch(SEEN)
            assert {row[0] for row in rows} == {tenant}
            assert {row[1] for row in rows} == set(TABLES)
            if drawn.random() < 0.1:
                with suppress(ZeroDivisionError):
                    async with connection.transaction():
                        await connection.execute("SELECT 1")
                        raise ZeroDivisionError

    try:
        assert_most_ended(await interleaved(look, seed))
        async with pool.connection() as connection:
            assert await connection.fetch(SEEN) == []
    finally:
        await pool.close()


@pytest.mark.parametrize("seed", [2])
async def test_ten_thousand_requests_never_show_one_tenant_to_the_other(
    database: Database, make_api: Callable[..., Api], seed: int
) -> None:
    """Over HTTP, through an API that has two connections, by clients that hang up."""
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
    telling = {paths[0], paths[1], paths[2], paths[4], paths[5], paths[7], paths[8]}

    async def ask(tenant: str, drawn: random.Random) -> None:
        path = drawn.choice(paths)
        answer = await clients[tenant].get(path)
        other = TENANTS[1 - TENANTS.index(tenant)]
        assert answer.status_code == 200, (path, answer.text)
        assert other not in answer.text, (path, answer.text)
        if path in telling:
            assert f"of {tenant}" in answer.text, (path, answer.text)

    async with both(api) as clients:
        assert_most_ended(await interleaved(ask, seed))


@asynccontextmanager
async def both(api: Api) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    async with api.async_client(TENANTS[0]) as first, api.async_client(TENANTS[1]) as second:
        yield dict(zip(TENANTS, (first, second), strict=True))
