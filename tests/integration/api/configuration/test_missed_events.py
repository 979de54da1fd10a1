"""An activation says how many enrollments met a goal while the workflow was paused (E19)."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from tests.support.api.client import Api
from tests.support.data.records import BEGAN, Records
from tests.support.services.commands import Ran
from tests.support.services.servers import Database

from goald.adapters.postgres import PostgresShardStore
from goald.domain.configuration.edits import COUNTED_ENROLLMENTS
from goald.domain.slots import SlotRange
from goald.ports.configuration import WorkflowKey
from goald.ports.shard_store import FIRST_MISSED

WELCOME = "/api/v1/workflows/welcome"
TAG = {"goal_type": "tag_added", "criteria": {"tag_name": "x"}}
FILE = "tenant: acme\nworkflows:\n- {id: welcome, active: true}\n"


@pytest.fixture
def editor(api: Api, records: Records) -> httpx.Client:
    """An editor of acme, whose paused workflow has active enrollments that missed events."""
    client = api.client("acme")
    assert client.put(WELCOME, json={}).status_code == 201
    assert client.post(f"{WELCOME}/goals", json=TAG).status_code == 201
    assert client.post(f"{WELCOME}/activate").json()["missed"] == 0
    assert client.post(f"{WELCOME}/deactivate").status_code == 200
    for name in ("e-1", "e-2", "e-3", "e-old"):
        records.enroll(name, BEGAN)
    records.enroll("e-ended", BEGAN, status="exited")
    records.enroll("e-other", BEGAN, workflow="other")
    for name, days_ago in (("e-1", 0), ("e-2", 29), ("e-old", 31), ("e-ended", 0)):
        records.miss(name, days_ago=days_ago)
    records.miss("e-other", workflow="other")
    records.enroll("e-theirs", BEGAN, tenant="globex")
    records.miss("e-theirs", tenant="globex")
    return client


def exits_missed(database: Database) -> dict[str, Any]:
    """Whether the shards exit what the active workflows missed, by workflow."""

    async def read() -> dict[str, Any]:
        store = PostgresShardStore(database.dsn)
        try:
            workflows = (await store.configuration(0)).workflows
        finally:
            await store.close()
        return {each["workflow_id"]: each.get("exits_missed") for each in workflows}

    return asyncio.run(read())


def test_activation_counts_enrollments_that_met_a_goal_in_the_last_30_days(
    editor: httpx.Client, database: Database
) -> None:
    activated = editor.post(f"{WELCOME}/activate")
    assert (activated.status_code, activated.json()["missed"]) == (200, 2)
    assert exits_missed(database) == {"welcome": False}
    again = editor.post(f"{WELCOME}/activate", json={"exit_missed": True})
    assert (again.json()["missed"], again.json()["version"]) == (0, activated.json()["version"])
    assert exits_missed(database) == {"welcome": False}


def test_activation_counts_a_bounded_number_of_enrollments(
    editor: httpx.Client, database: Database
) -> None:
    """It would otherwise exceed the time limit of the statement, and never succeed."""
    with psycopg.connect(database.admin_dsn, autocommit=True) as admin:
        admin.execute(
            "INSERT INTO goald.workflow_enrollments"
            " (tenant_id, id, contact_id, workflow_id, slot, status, enrolled_at)"
            " SELECT 'acme', 'many-' || n, 'ann', 'welcome', 3, 'active', now()"
            " FROM generate_series(1, %s) n",
            [COUNTED_ENROLLMENTS],
        )
        admin.execute(
            "INSERT INTO goald.missed_runs"
            " (tenant_id, enrollment_id, workflow_id, contact_id, event, slot)"
            " SELECT 'acme', 'many-' || n, 'welcome', 'ann', md5('')::uuid, 3"
            " FROM generate_series(1, %s) n",
            [COUNTED_ENROLLMENTS],
        )
    assert editor.post(f"{WELCOME}/activate").json()["missed"] == COUNTED_ENROLLMENTS


def test_shards_exit_what_was_missed_in_the_last_30_days(
    editor: httpx.Client, database: Database
) -> None:
    editor.post(f"{WELCOME}/activate", json={"exit_missed": True})

    async def read() -> set[str]:
        store = PostgresShardStore(database.dsn)
        try:
            lease = await store.acquire(SlotRange(0, 255), "a")
            workflow = WorkflowKey("acme", "welcome")
            page = await store.missed(lease, workflow, FIRST_MISSED, 100, 1 << 20)
        finally:
            await store.close()
        return {entry.enrollment_id for entry in page.entries}

    assert asyncio.run(read()) == {"e-1", "e-2", "e-ended"}  # an ended one changes nothing


def test_activation_lets_missed_enrollments_exit_only_until_the_next_one(
    editor: httpx.Client, database: Database
) -> None:
    activated = editor.post(f"{WELCOME}/activate", json={"exit_missed": True})
    assert activated.json()["missed"] == 2
    assert exits_missed(database) == {"welcome": True}
    editor.put(WELCOME, json={"name": "Welcome"})
    assert exits_missed(database) == {"welcome": True}  # of a shard that has not loaded it yet
    editor.post(f"{WELCOME}/deactivate")
    editor.post(f"{WELCOME}/activate")
    assert exits_missed(database) == {"welcome": False}


@pytest.mark.parametrize("body", [{"exit_missed": "yes"}, {"exit_missed": 1}, {"missed": True}])
def test_unknown_options_of_an_activation_are_refused(
    editor: httpx.Client, body: dict[str, Any]
) -> None:
    assert editor.post(f"{WELCOME}/activate", json=body).status_code == 400
    assert editor.get(WELCOME).json()["is_active"] is False


@pytest.fixture
def apply(
    run: Callable[..., Ran],
    database: Database,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Callable[..., str]:
    """Applies a file with `goald apply`, and returns the output."""
    monkeypatch.setenv("GOALD_POSTGRES_DSN", database.dsn)
    monkeypatch.setenv("GOALD_REDIS_URL", redis_url)

    def apply(text: str, *options: str) -> str:
        (tmp_path / "welcome.yaml").write_text(text)
        ran = run("apply", "welcome.yaml", *options)
        assert ran.code == 0, ran.err
        return ran.out

    return apply


@pytest.mark.usefixtures("editor")
@pytest.mark.parametrize("exits", [False, True])
def test_apply_prints_how_many_enrollments_met_a_goal(
    apply: Callable[..., str], database: Database, exits: bool
) -> None:
    text = FILE.replace("active: true", "active: true, exit_missed: true") if exits else FILE
    words = f"active: no -> yes, missed: 2, exit_missed: {'yes' if exits else 'no'}"
    assert words in apply(text, "--dry-run")
    [change] = json.loads(apply(text, "--dry-run", "--json"))["changes"]
    assert (change["missed"], change["exit_missed"]) == (2, exits)
    assert exits_missed(database) == {"welcome": False}
    assert words in apply(text)
    assert exits_missed(database) == {"welcome": exits}
    assert "missed" not in apply(text)


OVERDUE = (
    "INSERT INTO goald.workflow_executions (tenant_id, id, contact_id, workflow_id, slot, version,"
    " status, state, step_id, step_index, total_steps, visit, attempt, retry_count, hops, zone,"
    " since, since_seq, due_at, migrates, used_event, created_at)"
    " SELECT 'acme', 'x-' || n, 'ann', 'welcome', 3, 1, 'PAUSED', 'sleeping', 's', 1, 1, 1, 0, 0,"
    " 0, 'UTC', now(), 0, now() + n * interval '1 hour', false, false, now()"
    " FROM unnest(ARRAY[-2, -1, 1]) n"
)


def activations(database: Database) -> list[Any]:
    """How the activations of acme's workflows treat overdue steps."""
    with psycopg.connect(database.admin_dsn) as admin:
        rows = admin.execute(
            "SELECT overdue, activated_at IS NOT NULL FROM goald.workflows WHERE tenant_id = 'acme'"
        )
        return rows.fetchall()


def test_activation_with_overdue_steps_says_how_they_are_treated(
    editor: httpx.Client,
    database: Database,
    streams: object,
    run: Callable[..., Ran],
    tmp_path: Path,
) -> None:
    with psycopg.connect(database.admin_dsn, autocommit=True) as admin:
        admin.execute(OVERDUE)
    refused = editor.post(f"{WELCOME}/activate")
    assert refused.status_code == 409
    assert "2 steps are overdue" in refused.json()["detail"]
    (tmp_path / "acme.yaml").write_text(FILE)
    assert "2 steps are overdue" in run("apply", "acme.yaml").err
    assert editor.post(f"{WELCOME}/activate", json={"overdue": "later"}).status_code == 400
    assert activations(database) == [(None, False)]
    assert editor.post(f"{WELCOME}/activate", json={"overdue": "skip"}).status_code == 200
    assert activations(database) == [("skip", True)]
    editor.post(f"{WELCOME}/deactivate")
    (tmp_path / "acme.yaml").write_text(FILE.replace("active: true", "active: true, overdue: run"))
    assert run("apply", "acme.yaml").code == 0
    assert activations(database) == [("run", True)]
