"""The settings of a tenant over HTTP, from the command line and from a file."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from tests.support.api.client import Api
from tests.support.services.commands import Ran
from tests.support.services.servers import Database

from goald.adapters.postgres import PostgresShardStore

PATH = "/api/v1/tenant"
DEFAULTS = {
    "tag_case_sensitive": False,
    "error_notification": True,
    "max_retry_attempts": 3,
    "retry_base_delay_seconds": None,
    "concurrent_executions_per_account": 100,
}
BY_CASE, NOT_BY_CASE = {**DEFAULTS, "tag_case_sensitive": True}, DEFAULTS


@pytest.fixture
def editor(api: Api) -> httpx.Client:
    return api.client("acme", "workflows:read", "workflows:edit", "audit:read")


def settings(client: httpx.Client) -> dict[str, Any]:
    answer = client.get(PATH)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_setting_is_kept_until_it_is_changed(api: Api, editor: httpx.Client) -> None:
    assert settings(editor) == NOT_BY_CASE
    retries = {"max_retry_attempts": 5, "retry_base_delay_seconds": 0.5}
    for body, expected in (
        (BY_CASE, BY_CASE), ({}, BY_CASE), (retries, {**BY_CASE, **retries}),
        ({"concurrent_executions_per_account": 7},
         {**BY_CASE, **retries, "concurrent_executions_per_account": 7}),
    ):  # fmt: skip
        answer = editor.put(PATH, json=body)
        assert (answer.status_code, answer.json()) == (200, expected), answer.text
        assert settings(editor) == expected
    assert editor.patch(PATH, json={"error_notification": False}).status_code == 200
    assert settings(editor)["error_notification"] is False
    assert settings(api.client("globex", "workflows:read")) == NOT_BY_CASE


@pytest.mark.parametrize(
    "body",
    [
        {"tag_case_sensitive": "yes"},
        {"tag_case_sensitive": 1},
        {"other": True},
        [],
        {"max_retry_attempts": -1},
        {"concurrent_executions_per_account": 0},
        {"retry_base_delay_seconds": 0},
    ],
)
def test_setting_that_goald_does_not_have_is_refused(editor: httpx.Client, body: Any) -> None:
    assert editor.put(PATH, json=body).status_code == 400
    assert settings(editor) == NOT_BY_CASE


def test_change_is_in_the_audit_log_once(editor: httpx.Client) -> None:
    editor.put(PATH, json=BY_CASE)
    editor.put(PATH, json=BY_CASE)
    editor.put(PATH, json={"tag_case_sensitive": False})

    found = editor.get("/api/v1/audit").json()["items"]

    actions = [(row["action"], row["actor"], row["after"]) for row in reversed(found)]
    assert actions == [
        ("settings.created", "tester", BY_CASE),
        ("settings.updated", "tester", NOT_BY_CASE),
    ]


def test_shards_load_the_setting_with_every_workflow_of_the_tenant(
    api: Api, editor: httpx.Client, database: Database
) -> None:
    for name in ("first", "second"):
        editor.put(f"/api/v1/workflows/{name}", json={"name": name})
    api.client("globex", "workflows:edit").put("/api/v1/workflows/w", json={"name": "w"})

    version, before = asyncio.run(_by_case(database, 0))
    assert before == {("acme", "first"): False, ("acme", "second"): False, ("globex", "w"): False}
    editor.put(PATH, json=BY_CASE)
    version, changed = asyncio.run(_by_case(database, version))
    assert changed == {("acme", "first"): True, ("acme", "second"): True}
    editor.put("/api/v1/workflows/third", json={"name": "third"})
    _, created = asyncio.run(_by_case(database, version))
    assert created == {("acme", "third"): True}


def test_setting_of_a_tenant_without_workflows_waits_for_them(
    editor: httpx.Client, database: Database
) -> None:
    assert editor.put(PATH, json=BY_CASE).status_code == 200
    with psycopg.connect(database.admin_dsn) as tables:
        rows = tables.execute("SELECT tenant_id, tag_case_sensitive FROM goald.tenant_settings")
        assert rows.fetchall() == [("acme", True)]


def test_command_line_shows_and_sets_it(streams: object, run: Callable[..., Ran]) -> None:
    assert run("tenant", "show", "acme").out == (
        "tag_case_sensitive: false\nerror_notification: true\nmax_retry_attempts: 3\n"
        "retry_base_delay_seconds: GOALD_RETRY_BASE_SECONDS\n"
        "concurrent_executions_per_account: 100\n"
    )
    changed = run(
        "tenant", "set", "acme", "--tag-case-sensitive", "--concurrent-executions", "5",
        "--max-retries", "0", "--retry-base", "2.5", "--no-error-notification",
    )  # fmt: skip
    assert changed.code == 0, changed.err
    assert changed.out.startswith("tag_case_sensitive: true\n")
    printed = run("tenant", "show", "acme", "--json")
    assert json.loads(printed.out) == {
        "tenant": "acme", "tag_case_sensitive": True, "error_notification": False,
        "max_retry_attempts": 0, "retry_base_delay_seconds": 2.5,
        "concurrent_executions_per_account": 5,
    }  # fmt: skip
    assert run("tenant", "set", "acme", "--no-tag-case-sensitive").code == 0
    nothing = run("tenant", "set", "acme")
    assert nothing.code == 2
    assert "Give a setting to change" in nothing.err


def test_file_sets_it_and_leaves_it_if_it_does_not_name_it(
    streams: object, run: Callable[..., Ran], tmp_path: Path
) -> None:
    file = tmp_path / "acme.yaml"
    file.write_text("tenant: acme\nsettings: {tag_case_sensitive: true}\n")
    applied = run("apply", "acme.yaml")
    assert applied.code == 0, applied.err
    assert "tag_case_sensitive: yes" in applied.out
    assert "Nothing to do" in run("apply", "acme.yaml").out
    file.write_text("tenant: acme\nworkflows: []\n")
    assert run("apply", "acme.yaml", "--prune").code == 0
    assert "tag_case_sensitive: true\n" in run("tenant", "show", "acme").out
    file.write_text("tenant: acme\nsettings: {concurrent_executions_per_account: 4}\n")
    assert run("apply", "acme.yaml").code == 0
    assert "concurrent_executions_per_account: 4\n" in run("tenant", "show", "acme").out
    file.write_text("tenant: acme\nsettings: {tag_case_sensitive: 1}\n")
    assert run("apply", "acme.yaml").code != 0


async def _by_case(database: Database, after: int) -> tuple[int, dict[tuple[str, str], bool]]:
    """The version that shards load after this one, and the setting by tenant and workflow."""
    store = PostgresShardStore(database.dsn)
    read = await store.configuration(after)
    await store.close()
    return read.version, {
        (row["tenant_id"], row["workflow_id"]): row["tag_case_sensitive"] for row in read.workflows
    }
