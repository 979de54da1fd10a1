"""The audit log over HTTP: a tenant's own, newest first, in pages."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from tests.support.api.client import Api
from tests.support.data.audit import achieve, add_workflow, configuring, read_audit_log
from tests.support.services.servers import Database

from goald.adapters.postgres.records import audit
from goald.adapters.postgres.records.audit import PostgresAuditTrail
from goald.adapters.postgres.tenants import TenantPool
from goald.domain.records.pages import Page, PageRequest
from goald.domain.times import rfc3339, to_us


@pytest.fixture
def log(database: Database) -> Database:
    """Changes of two editors, achievements of two enrollments, and entries of another tenant."""
    with configuring(database, actor="ada") as connection:
        add_workflow(connection, "w-1", name="Leads")
        add_workflow(connection, "w-2")
    achieve(database, "e-1")
    achieve(database, "theirs", tenant="other")
    achieve(database, "e-2")
    with configuring(database, actor="bob") as connection:
        connection.execute("UPDATE goald.workflows SET is_active = true WHERE id = 'w-1'")
    with configuring(database, tenant="other") as connection:
        add_workflow(connection, "w-1")
    return database


@pytest.fixture
def ask(api: Api, log: Database) -> Callable[..., Any]:
    """Asks as tenant acme; the answer, which has to be 200."""
    client = api.client("acme", "audit:read")

    def get(**query: Any) -> Any:
        answer = client.get("/api/v1/audit", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return get


def entries_of(answer: Any) -> list[tuple[str, str]]:
    return [(item["action"], item["subject_id"]) for item in answer["items"]]


ALL = [
    ("workflow.activated", "w-1"),
    ("goal.achieved", "e-2"),
    ("goal.achieved", "e-1"),
    ("workflow.created", "w-2"),
    ("workflow.created", "w-1"),
]


def test_tenant_reads_its_own_log_newest_first(ask: Callable[..., Any]) -> None:
    answer = ask()
    assert entries_of(answer) == ALL
    assert answer["next_cursor"] is None


def test_entry_has_actor_time_before_and_after(ask: Callable[..., Any], log: Database) -> None:
    first = ask()["items"][0]
    (row,) = [row for row in read_audit_log(log) if row["action"] == "workflow.activated"]
    assert first["actor"] == "bob"
    assert (first["before"]["is_active"], first["after"]["is_active"]) == (False, True)
    assert first["after"]["name"] == "Leads"
    assert first["hash"] == row["hash"].hex()
    assert first["recorded_at"] == rfc3339(to_us(row["recorded_at"]))


def test_entry_keeps_every_digit_of_an_amount(api: Api) -> None:
    client = api.client("acme")
    assert client.put("/api/v1/workflows/w", json={"name": "W"}).status_code == 201
    goal = '{"goal_type": "purchase_made", "criteria": {"min_amount": 1234567890123456.20}}'
    response = client.post(
        "/api/v1/workflows/w/goals", content=goal, headers={"content-type": "application/json"}
    )
    assert response.status_code == 201
    entries = client.get("/api/v1/audit", params={"action": "goal.created"})
    assert '"min_amount":1234567890123456.20' in entries.text


def test_entry_does_not_reveal_the_activity_of_other_tenants(ask: Callable[..., Any]) -> None:
    """A shard's chain counts the achievements of all tenants."""
    for item in ask()["items"]:
        assert "number" not in item
        assert "writer" not in item


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("query", [{}, {"workflow_id": "w-1"}])
def test_pages_contain_every_entry_once(
    ask: Callable[..., Any], limit: int, query: dict[str, str]
) -> None:
    seen: list[tuple[str, str]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = ask(limit=limit, **query, **cursor)
        assert len(answer["items"]) <= limit
        seen += entries_of(answer)
        if answer["next_cursor"] is None:
            break
        cursor = {"cursor": answer["next_cursor"]}
    assert seen == [each for each in ALL if not query or each[1] != "w-2"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"action": "goal.achieved"}, ALL[1:3]),
        ({"action": "workflow.created"}, ALL[3:]),
        ({"actor": "bob"}, ALL[:1]),
        ({"actor": "goald"}, ALL[1:3]),
        ({"workflow_id": "w-2"}, ALL[3:4]),
        ({"subject_id": "e-1"}, ALL[2:3]),
        ({"action": "workflow.created", "subject_id": "w-1"}, ALL[4:]),
        ({"actor": "nobody"}, []),
        ({"until": "2026-01-01T00:00:00Z"}, []),
        ({"since": "2026-01-01T00:00:00Z"}, ALL),
    ],
)
def test_filters(
    ask: Callable[..., Any], query: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    assert entries_of(ask(**query)) == expected


def test_time_range_includes_its_start_and_excludes_its_end(ask: Callable[..., Any]) -> None:
    newest, *_, oldest = ask()["items"]
    within = ask(since=oldest["recorded_at"], until=newest["recorded_at"])
    assert entries_of(within) == ALL[1:]


@pytest.mark.parametrize(
    "query",
    [
        {"action": "workflow.exploded"},
        {"actor": ""},
        {"actor": "a\x00b"},
        {"workflow_id": "w" * 257},
        {"limit": "0"},
        {"limit": "201"},
        {"cursor": "bm90IG91cnM"},
        {"since": "yesterday"},
    ],
)
def test_invalid_query_gets_400(api: Api, log: Database, query: dict[str, str]) -> None:
    answer = api.client("acme", "audit:read").get("/api/v1/audit", params=query)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["parameter"] == next(iter(query))


def test_cursor_of_another_tenant_is_refused(api: Api, log: Database) -> None:
    ours = api.client("acme").get("/api/v1/audit", params={"limit": 1}).json()["next_cursor"]
    answer = api.client("other").get("/api/v1/audit", params={"cursor": ours})
    assert answer.status_code == 400


def test_audit_log_requires_its_own_scope(api: Api) -> None:
    answer = api.client("acme", "workflows:read", "workflows:edit").get("/api/v1/audit")
    assert answer.status_code == 403


async def test_rare_entry_is_found_over_pages_of_bounded_work(
    log: Database,
) -> None:
    for i in range(7):
        await asyncio.to_thread(achieve, log, f"many-{i}")
    pool = TenantPool(log.dsn, 1)
    try:
        trail = PostgresAuditTrail(pool, scanned=3)
        pages: list[Page[Any]] = [await trail.page("acme", {"subject_id": "w-2"}, PageRequest(50))]
        while (after := pages[-1].next) is not None:
            span = PageRequest(50, after)
            pages.append(await trail.page("acme", {"subject_id": "w-2"}, span))
    finally:
        await pool.close()
    assert [row.subject_id for page in pages for row in page.rows] == ["w-2"]
    assert [len(page.rows) for page in pages[:3]] == [0, 0, 0]
    assert len(pages) == 5  # twelve entries by three, and an empty page


@pytest.mark.parametrize(
    ("action", "index"),
    [
        (None, "tenant_id_recorded_at_hash_idx"),
        ("workflow.created", "tenant_id_recorded_at_hash_idx1"),
    ],
)
async def test_page_uses_an_index(log: Database, action: str | None, index: str) -> None:
    """Nothing is sorted, no table is read as a whole, and a later page begins at its place."""
    configured = audit.CONFIGURED if action else ""
    with psycopg.connect(log.dsn) as connection:
        connection.execute("SET LOCAL ROLE goald_api")
        connection.execute("SELECT set_config('goald.tenant', 'acme', true)")
        connection.execute(audit.IN_ORDER.encode())
        connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        connection.execute(
            f"PREPARE page (text, int8, int8, int8, bytea, int, int, text, text, text, text) AS"
            f" {audit.PAGE.format(configured=configured)}".encode()
        )
        bounds = "{0}, {1}, {1}, ''".format(*audit.ALWAYS)
        lines = connection.execute(
            f"EXPLAIN EXECUTE page ('acme', {bounds}, 51, 51, NULL, NULL, NULL, NULL)".encode()
        ).fetchall()
    plan = "\n".join(line for (line,) in lines)
    assert index in plan
    assert re.search(
        r"Index Cond: .*recorded_at >= .*recorded_at < .*ROW\(recorded_at, hash\) <", plan
    )
    assert "Sort" not in plan
    assert "Seq Scan" not in plan
