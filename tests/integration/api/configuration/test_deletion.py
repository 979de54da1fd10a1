"""Deletion of workflows: by the API and by a file, with history, audit log and limits."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from tests.support.api.client import Api
from tests.support.services.commands import Ran
from tests.support.services.servers import Database

from goald.adapters.postgres.partitions import PostgresMonths

LEAD = "/api/v1/workflows/lead"
TAG = {"goal_type": "tag_added", "criteria": {"tag_name": "x"}}


@pytest.fixture
def editor(api: Api) -> httpx.Client:
    """An editor of acme, which has the active workflow `lead` with one goal."""
    client = api.client("acme")
    assert client.put(LEAD, json={}).status_code == 201
    assert client.post(f"{LEAD}/goals", json=TAG).status_code == 201
    assert client.post(f"{LEAD}/activate").status_code == 200
    return client


def enroll(connection: psycopg.Connection[Any], enrollment: str, status: str = "active") -> None:
    """Write an enrollment as a shard does."""
    connection.execute("SET LOCAL ROLE goald_shard")
    connection.execute("SELECT set_config('goald.slots', '0-255', true)")
    connection.execute(
        "INSERT INTO goald.workflow_enrollments (tenant_id, id, contact_id, workflow_id, slot,"
        " status, enrolled_at, ended_at) VALUES ('acme', %s, 'ann', 'lead', 3, %s, now(),"
        " CASE %s WHEN 'active' THEN NULL ELSE now() END)",
        (enrollment, status, status),
    )


@contextmanager
def shard(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """A transaction of a shard, committed at the end."""
    with psycopg.connect(database.dsn) as connection:
        yield connection


def purged(database: Database) -> int:
    """The number of rows that the retention removes now."""

    async def purge() -> int:
        months = PostgresMonths(database.dsn)
        try:
            return await months.purge_deleted(31, 1_000)
        finally:
            await months.close()

    return asyncio.run(purge())


def actions(editor: httpx.Client) -> list[str]:
    """The audit log of the workflow, oldest first."""
    items = editor.get("/api/v1/audit", params={"limit": 100}).json()["items"]
    return [each["action"] for each in reversed(items)]


def test_a_deleted_workflow_does_not_exist_and_its_history_stays(
    editor: httpx.Client, database: Database
) -> None:
    with shard(database) as connection:
        enroll(connection, "e-1", "completed")
    assert editor.delete(LEAD).status_code == 204
    assert editor.get(LEAD).status_code == 404
    assert editor.get(f"{LEAD}/goals").status_code == 404
    assert editor.delete(LEAD).status_code == 404
    assert editor.get("/api/v1/workflows").json() == {"workflows": [], "total": 0}
    kept = editor.get(f"{LEAD}/enrollments").json()["items"]
    assert [each["id"] for each in kept] == ["e-1"]
    assert editor.get(f"{LEAD}/goals/stats").status_code == 200
    assert editor.get(f"{LEAD}/listeners").json()["goals"] == []
    assert actions(editor)[-2:] == ["goal.deleted", "workflow.deleted"]


def test_a_deletion_is_noticed_as_deactivation_and_deleted_goals(
    editor: httpx.Client, database: Database
) -> None:
    with psycopg.connect(database.admin_dsn) as admin:
        admin.execute("DELETE FROM goald.outbox")
    editor.delete(LEAD)
    with psycopg.connect(database.admin_dsn) as admin:
        rows = admin.execute(
            "SELECT stream, payload::json ->> 'type' FROM goald.outbox ORDER BY number"
        ).fetchall()
    assert rows == [
        ("notices", "workflow.goal.deleted"),
        ("notices", "workflow.deactivated"),
        ("control", None),
    ]


def test_active_enrollments_prevent_the_deletion_until_they_end(
    editor: httpx.Client, database: Database
) -> None:
    with shard(database) as connection:
        enroll(connection, "e-1")
        enroll(connection, "e-2")
        enroll(connection, "e-3", "exited")
    refused = editor.delete(LEAD)
    assert refused.status_code == 409
    assert "The workflow lead has 2 active enrollments" in refused.json()["detail"]
    assert editor.get(LEAD).json()["is_active"]
    with psycopg.connect(database.admin_dsn) as admin:
        admin.execute(
            "UPDATE goald.workflow_enrollments SET status = 'exited', ended_at = now()"
            " WHERE status = 'active'"
        )
    assert editor.delete(LEAD).status_code == 204


def test_a_start_that_is_committed_first_prevents_the_deletion(
    editor: httpx.Client, database: Database
) -> None:
    """The transactions of the start and of the deletion overlap. Either the deletion sees the
    start and is refused, or the start is committed later, as in an unknown workflow."""
    with psycopg.connect(database.dsn) as connection:
        enroll(connection, "e-1")  # not committed yet
        assert editor.delete(LEAD).status_code == 204
        connection.commit()
    [late] = editor.get(f"{LEAD}/enrollments").json()["items"]
    assert late["status"] == "active"
    assert editor.put(LEAD, json={}).status_code == 201
    assert editor.delete(LEAD).status_code == 409


def test_concurrent_deletions_have_one_winner(editor: httpx.Client, api: Api) -> None:
    codes: list[int] = []
    clients = [api.client("acme") for _ in range(4)]
    threads = [
        threading.Thread(target=lambda client=client: codes.append(client.delete(LEAD).status_code))
        for client in clients
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [204, 404, 404, 404]


def test_a_deletion_requires_the_version_of_if_match(editor: httpx.Client) -> None:
    assert editor.delete(LEAD, headers={"if-match": '"1"'}).status_code == 412
    assert editor.delete(LEAD, headers={"if-match": '"2"'}).status_code == 204
    assert editor.delete(LEAD, headers={"if-match": "*"}).status_code == 404


def test_an_id_can_be_used_again_and_its_versions_continue(editor: httpx.Client) -> None:
    editor.delete(LEAD)
    again = editor.put(LEAD, json={"name": "Second"})
    assert again.status_code == 201
    assert again.headers["etag"] == '"4"'
    found = again.json()
    assert (found["name"], found["is_active"]) == ("Second", False)
    assert editor.get(f"{LEAD}/goals").json()["goals"] == []
    assert editor.post(f"{LEAD}/goals", json=TAG).status_code == 201
    assert actions(editor)[-4:] == [
        "goal.deleted", "workflow.deleted", "workflow.created", "goal.created",
    ]  # fmt: skip


def test_a_save_by_the_previous_release_creates_the_workflow_again(
    editor: httpx.Client, database: Database
) -> None:
    """It does not know the column `deleted_at` (D11)."""
    editor.delete(LEAD)
    with psycopg.connect(database.dsn) as connection:
        connection.execute("SET LOCAL ROLE goald_api")
        connection.execute("SELECT set_config('goald.tenant', 'acme', true)")
        connection.execute(
            "INSERT INTO goald.workflows AS w (tenant_id, id, name, is_active, config_version)"
            " VALUES ('acme', 'lead', 'Lead', true, 0) ON CONFLICT (tenant_id, id) DO UPDATE SET"
            " name = 'Lead', is_active = true, version = w.version + 1, updated_at = now()"
        )
    assert editor.get(LEAD).json()["is_active"]
    assert actions(editor)[-3:] == ["workflow.deleted", "workflow.created", "workflow.activated"]


def test_a_deleted_workflow_makes_room_for_another(make_api: Callable[..., Api]) -> None:
    editor = make_api(max_workflows=1).client("acme")
    assert editor.put("/api/v1/workflows/w-1", json={}).status_code == 201
    assert editor.put("/api/v1/workflows/w-2", json={}).status_code == 409
    assert editor.delete("/api/v1/workflows/w-1").status_code == 204
    assert editor.put("/api/v1/workflows/w-2", json={}).status_code == 201
    assert editor.put("/api/v1/workflows/w-1", json={}).status_code == 409


def test_deleted_rows_are_removed_after_the_retention_without_a_second_audit_row(
    editor: httpx.Client, database: Database
) -> None:
    editor.put("/api/v1/workflows/kept", json={})
    editor.delete(LEAD)
    before = actions(editor)
    assert purged(database) == 0
    with psycopg.connect(database.admin_dsn) as admin:
        admin.execute("SET LOCAL session_replication_role = replica")  # no audit rows
        for table in ("workflows", "workflow_goals"):
            admin.execute(
                f"UPDATE goald.{table} SET deleted_at = now() - interval '32 days'"
                " WHERE deleted_at IS NOT NULL".encode()
            )
    assert purged(database) == 2
    assert purged(database) == 0
    with psycopg.connect(database.admin_dsn) as admin:
        assert admin.execute("SELECT id FROM goald.workflows").fetchall() == [("kept",)]
    assert actions(editor) == before
    assert editor.put(LEAD, json={}).status_code == 201


@pytest.mark.usefixtures("clean")
def test_prune_deletes_a_workflow_once_its_enrollments_have_ended(
    editor: httpx.Client,
    database: Database,
    redis_url: str,
    run: Callable[..., Ran],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOALD_REDIS_URL", redis_url)
    monkeypatch.setenv("GOALD_POSTGRES_DSN", database.dsn)
    (tmp_path / "empty.yaml").write_text("tenant: acme\nworkflows: []\n")
    with shard(database) as connection:
        enroll(connection, "e-1")

    def prune(*words: str) -> list[tuple[str, str]]:
        changes = run("apply", "empty.yaml", "--prune", "--json", *words).json["changes"]
        return [(each["action"], each["kind"]) for each in changes]

    assert prune() == [("update", "workflow"), ("delete", "goal")]
    assert prune() == []
    with psycopg.connect(database.admin_dsn) as admin:
        admin.execute("UPDATE goald.workflow_enrollments SET status='exited', ended_at=now()")
    assert prune("--dry-run") == [("delete", "workflow")]
    assert prune() == [("delete", "workflow")]
    assert prune() == []
    assert editor.get(LEAD).status_code == 404
