"""Large configurations and many changes: only the necessary rows are read, versions become visible
in order, and a tenant's changes do not delay those of others (D8, E10)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from tests.support.services.servers import Database

from goald.adapters.memory.clock import ManualClock
from goald.adapters.postgres import PostgresConfigurationStore, PostgresShardStore, TenantPool
from goald.adapters.postgres.configuration import statements
from goald.configuration.file import parse_configuration
from goald.configuration.service import ConfigurationService
from goald.domain.configuration.diff import scope_for
from goald.domain.configuration.edits import ExpectedVersion
from goald.domain.configuration.workflows import ConfigurationScope, EntityRow

ANYHOW = ExpectedVersion()
KINDS = ["tag", "form", "calendar", "service", "pipeline", "stage", "product"]

FILL = """
INSERT INTO goald.workflows (tenant_id, id, name, config_version)
SELECT 'acme', 'w-' || n, 'W', n FROM generate_series(1, 10000) AS n;
INSERT INTO goald.workflow_goals (tenant_id, id, workflow_id, position, goal_type, criteria)
SELECT 'acme', gen_random_uuid(), 'w-' || n, 0, 'purchase_made',
       jsonb_build_object('product_id', 'p-' || n)
FROM generate_series(1, 10000) AS n;
INSERT INTO goald.catalog_entities (tenant_id, kind, entity_id, name)
SELECT 'acme', 'product', 'p-' || n, 'P' FROM generate_series(1, 100000) AS n;
ANALYZE goald.workflows, goald.workflow_goals, goald.catalog_entities;
"""


@asynccontextmanager
async def admin(database: Database) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database.admin_dsn)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[TenantPool]:
    pool = TenantPool(database.dsn, 4)
    yield pool
    await pool.close()


@pytest.fixture
async def large(database: Database) -> None:
    """acme has 10,000 workflows with a goal each, and 100,000 products."""
    async with admin(database) as connection:
        await connection.execute("SET session_replication_role = replica")  # without the audit
        await connection.execute(FILL)


def service_over(pool: TenantPool) -> ConfigurationService:
    return ConfigurationService(PostgresConfigurationStore(pool), ManualClock())


@pytest.mark.usefixtures("large")
async def test_no_statement_of_the_api_scans_a_table(pool: TenantPool) -> None:
    asked: list[tuple[str, list[Any]]] = [
        (statements.WORKFLOWS, [["w-7"]]),
        (statements.GOALS, [["w-7"]]),
        (statements.ENTITIES, [["product", "form"], ["p-7", "f"]]),
        (statements.KINDS, [KINDS]),
        (statements.PAGE_OF_WORKFLOWS, [0, 50]),
        (statements.PAGE_OF_ENTITIES, ["product", "p-5", 51]),
        (statements.DELETE_ENTITY, ["product", "p-7"]),
    ]
    for statement, given in asked:
        async with pool.tenant("acme") as connection:
            plan = await connection.fetch(f"EXPLAIN {statement}", "acme", *given)
        text = "\n".join(line for (line,) in plan)
        assert "Seq Scan" not in text, text
        assert "Hash" not in text, text


@pytest.mark.usefixtures("large")
async def test_only_the_requested_rows_are_read(pool: TenantPool) -> None:
    configurations = PostgresConfigurationStore(pool)
    current = await configurations.load("acme", ConfigurationScope(["w-7"], [("product", "p-8")]))
    assert list(current.workflows) == ["w-7"]
    assert [goal.criteria for goal in current.goals["w-7"]] == [{"product_id": "p-7"}]
    assert list(current.catalog) == ["product"]
    assert sorted(current.catalog["product"]) == ["p-7", "p-8"]
    assert current.kinds == {"product"}


@pytest.mark.usefixtures("large")
async def test_applying_a_file_reads_only_its_rows(pool: TenantPool) -> None:
    desired = parse_configuration(
        "tenant: acme\nworkflows:\n- id: w-7\n  goals:\n"
        "  - {goal_type: purchase_made, criteria: {product_id: p-9}}\n"
        "catalog: {product: [{id: p-10, name: P}]}"
    )
    current = await PostgresConfigurationStore(pool).load("acme", scope_for(desired, prune=False))
    assert list(current.workflows) == ["w-7"]
    assert sorted(current.catalog["product"]) == ["p-10", "p-7", "p-9"]
    (added,) = await service_over(pool).plan(desired)
    assert added.action == "create"


async def test_pruning_reads_every_row_that_it_may_delete(pool: TenantPool) -> None:
    service = service_over(pool)
    for id_ in ("t-1", "t-2", "t-3"):
        await service.put_entity("acme", "someone", EntityRow("tag", id_, id_))
    await service.put_workflow("acme", "someone", "w", None, None, ANYHOW)
    await service.set_active("acme", "someone", "w", True, ANYHOW)
    desired = parse_configuration(
        "tenant: acme\nworkflows: []\ncatalog: {tag: [{id: t-2, name: t-2}]}"
    )
    changes = await service.plan(desired, prune=True)
    assert sorted((change.action, change.row.id) for change in changes) == [
        ("delete", "t-1"),
        ("delete", "t-3"),
        ("delete", "w"),
    ]


async def test_a_reader_of_versions_misses_no_change(database: Database, pool: TenantPool) -> None:
    """Concurrent changes of many tenants: none becomes visible after a later version."""
    services = [service_over(pool) for _ in range(4)]
    store = PostgresShardStore(database.dsn)
    seen: set[str] = set()
    version, is_over = 0, False

    async def follow() -> None:
        nonlocal version
        while True:
            was_over = is_over
            changed = await store.configuration(version)
            version = max(version, changed.version)
            seen.update(workflow["tenant_id"] for workflow in changed.workflows)
            if was_over:
                return

    async def edit(number: int) -> None:
        service = services[number % len(services)]
        await service.put_workflow(f"tenant-{number}", "someone", "w", None, None, ANYHOW)

    try:
        reader = asyncio.create_task(follow())
        await asyncio.gather(*(edit(number) for number in range(100)))
        is_over = True
        await reader
        assert seen == {f"tenant-{number}" for number in range(100)}
    finally:
        await store.close()


async def test_waiting_changes_of_one_tenant_leave_connections_to_the_others(
    database: Database,
) -> None:
    pool = TenantPool(database.dsn, 2)
    service = service_over(pool)
    try:
        async with admin(database) as connection, connection.transaction():
            await connection.execute(statements.LOCK_TENANT, "slow")
            waiting = [
                asyncio.create_task(
                    service.put_workflow("slow", "someone", f"w-{number}", None, None, ANYHOW)
                )
                for number in range(20)
            ]
            await wait_for_a_lock(database)
            result = await service.put_workflow("quick", "someone", "w", None, None, ANYHOW)
            assert result.created
            assert not any(task.done() for task in waiting)
        assert all(result.created for result in await asyncio.gather(*waiting))
    finally:
        await pool.close()


@pytest.mark.parametrize(
    "current",
    [
        "SELECT FROM goald.audit_heads WHERE writer = 'tenant/slow' FOR UPDATE",
        "SELECT FROM goald.workflows WHERE tenant_id = 'slow' FOR NO KEY UPDATE",
    ],
    ids=["its chain of the audit log", "the workflow of a goal"],
)
async def test_change_that_waits_for_its_own_tenant_does_not_delay_others(
    database: Database, pool: TenantPool, current: str
) -> None:
    service = service_over(pool)
    await service.put_workflow("slow", "someone", "w", None, None, ANYHOW)
    desired = parse_configuration(
        "tenant: slow\nworkflows:\n- id: w\n  goals:\n"
        "  - {goal_type: purchase_made, criteria: {product_id: p-9}}\n"
    )
    async with admin(database) as connection:
        async with connection.transaction():
            assert await connection.execute(current) == "SELECT 1"
            waiting = asyncio.create_task(service.apply(desired))
            await wait_for_a_lock(database)
            result = await service.put_workflow("quick", "someone", "w", None, None, ANYHOW)
            assert result.created
            assert not waiting.done()
        assert [change.action for change in (await waiting).changes] == ["create"]


async def wait_for_a_lock(database: Database) -> None:
    """Wait until a backend waits for a lock."""
    async with asyncio.timeout(30), admin(database) as connection:
        while not await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database())"
        ):
            await asyncio.sleep(0.01)


async def test_an_invalid_change_is_rolled_back(pool: TenantPool, database: Database) -> None:
    configurations = PostgresConfigurationStore(pool)

    def decide(_: Any) -> Any:
        raise LookupError

    with pytest.raises(LookupError):
        await configurations.change("acme", "someone", ConfigurationScope(["w"]), decide)
    service = ConfigurationService(configurations, ManualClock())
    assert (await service.put_workflow("acme", "someone", "w", None, None, ANYHOW)).created
    async with admin(database) as connection:
        assert await connection.fetchval("SELECT count(*) FROM goald.audit_log") == 1
