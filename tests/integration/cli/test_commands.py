"""Commands over a real Redis and Postgres, without a daemon: settings, configuration, status."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from tests.support.services.commands import Ran
from tests.support.services.logins import create_login
from tests.support.services.servers import Database

from goald import _native, migrations
from goald.adapters.redis.process_registry import encode
from goald.metrics.executions import ExecutionMetrics
from goald.metrics.instance import snapshot
from goald.ports.process_registry import Heartbeat

FILE = """
tenant: acme
workflows:
  - id: nurture
    name: Lead Nurturing
    goal_logic: any
    active: true
    goals:
      - {key: won, goal_type: tag_added, criteria: {tag_name: Customer}}
      - {goal_type: purchase_made, criteria: {min_amount: 100.00}}
"""


def test_help_lists_every_command_and_the_exit_codes(run: Callable[..., Ran]) -> None:
    ran = run("--help")
    assert ran.code == 0
    for word in ("serve", "apply", "replay", "check-config", "doctor", "130 interrupted"):
        assert word in ran.out


def test_version_prints_the_version(run: Callable[..., Ran]) -> None:
    assert run("--version").out.startswith("goald 0.")


@pytest.mark.parametrize("words", [["frob"], ["send"], ["tail", "everything"], ["replay"], []])
def test_wrong_usage_exits_with_2(run: Callable[..., Ran], words: list[str]) -> None:
    ran = run(*words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err


def test_without_a_running_goald_the_error_suggests_how_to_start_one(
    run: Callable[..., Ran],
) -> None:
    ran = run("status")
    assert ran.code == 1
    assert ran.err.count("\n") == 1
    assert "goald serve --embedded" in ran.err


def test_an_invalid_setting_exits_with_2_and_is_reported(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOALD_STREAMS", "many")
    for command in (["check-config"], ["status"], ["serve", "--embedded"]):
        ran = run(*command)
        assert ran.code == 2
        assert "GOALD_STREAMS" in ran.err


def test_serve_without_addresses_reports_the_missing_setting(run: Callable[..., Ran]) -> None:
    ran = run("serve")
    assert ran.code == 2
    assert "GOALD_REDIS_URL is not set" in ran.err


def test_unreachable_servers_exit_with_3(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOALD_REDIS_URL", f"unix://{tmp_path}/none.sock")
    monkeypatch.setenv("GOALD_POSTGRES_DSN", "postgresql://goald@127.0.0.1:1/goald")
    (tmp_path / "w.yaml").write_text(FILE)
    for command in (
        ["status"],
        ["send", "a.b", "--tenant", "t", "--contact", "c"],
        ["replay", "-"],
        ["tail", "exits"],
        ["dead", "list"],
        ["migrate"],
        ["apply", "w.yaml"],
    ):
        ran = run(*command, stdin=b"")
        assert ran.code == 3, (command, ran.err)
        assert ran.err.startswith("goald: "), command
        assert "Traceback" not in ran.err


def test_check_config_prints_the_source_of_each_value_and_hides_passwords(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOALD_POSTGRES_DSN", "postgresql://goald:hunter2@h/g")
    (tmp_path / "goald.toml").write_text("shards = 3\n")
    rows = {row["name"]: row for row in run("check-config", "--json").json}
    assert rows["GOALD_POSTGRES_DSN"]["value"] == "postgresql://goald:***@h/g"
    assert rows["GOALD_POSTGRES_DSN"]["from"] == "variable"
    assert (rows["GOALD_SHARDS"]["value"], rows["GOALD_SHARDS"]["from"]) == ("3", "file goald.toml")
    assert rows["GOALD_STREAMS"]["from"] == "default"
    monkeypatch.setenv("GOALD_SECRETS_KEYS", "hunter3")
    assert "hunter" not in run("check-config").out


def test_a_second_migrate_changes_nothing(
    run: Callable[..., Ran], clean: None, empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOALD_POSTGRES_OWNER_DSN", empty_database.dsn)
    first = run("migrate", "--json")
    assert first.code == 0, first.err
    assert first.json["applied"]
    assert run("migrate", "--json").json == {"applied": [], "revision": first.json["revision"]}
    assert "Nothing to do" in run("migrate").out


def test_apply_creates_the_configuration_and_a_second_apply_changes_nothing(
    run: Callable[..., Ran], streams: Any, tmp_path: Path
) -> None:
    (tmp_path / "w.yaml").write_text(FILE)
    plan = run("apply", "w.yaml", "--dry-run", "--json").json
    assert [(each["action"], each["kind"]) for each in plan["changes"]] == [
        ("create", "workflow"),
        ("create", "goal"),
        ("create", "goal"),
    ]
    applied = run("apply", "w.yaml")
    assert applied.code == 0, applied.err
    assert "nurture / won" in applied.out
    assert (
        "3 changes made for acme. No shard is running: the change applies when goald starts."
        in applied.out
    )
    assert "Nothing to do: acme matches the file." in run("apply", "w.yaml").out


def test_apply_prints_an_amount_as_a_number(
    run: Callable[..., Ran], streams: Any, tmp_path: Path
) -> None:
    """As the API does."""
    (tmp_path / "w.yaml").write_text(FILE)
    changes = run("apply", "w.yaml", "--dry-run", "--json").json["changes"]
    assert changes[2]["after"]["criteria"] == {"min_amount": 100.0}


def test_apply_shows_the_changes_and_deletes_only_with_prune(
    run: Callable[..., Ran], streams: Any, tmp_path: Path
) -> None:
    (tmp_path / "w.yaml").write_text(FILE)
    assert run("apply", "w.yaml").code == 0
    fewer = "\n".join(FILE.splitlines()[:-1]).replace("Customer", "Member")
    (tmp_path / "w.yaml").write_text(fewer)
    output = run("apply", "w.yaml", "--dry-run").out
    assert "criteria: {tag_name: Customer} -> {tag_name: Member}" in output
    assert "delete" not in output
    pruned = run("apply", "w.yaml", "--prune", "--json").json
    assert [each["action"] for each in pruned["changes"]].count("delete") == 1
    assert pruned["shards"] == {"ready": 0, "live": 0}


def test_apply_reports_the_location_of_an_error_in_one_line(
    run: Callable[..., Ran], streams: Any, tmp_path: Path
) -> None:
    (tmp_path / "w.yaml").write_text(FILE.replace("goal_logic: any", "goal_logic: some"))
    ran = run("apply", "w.yaml")
    assert ran.code == 1
    assert ran.err.count("\n") == 1
    assert "w.yaml: workflows[0].goal_logic: " in ran.err


def test_status_without_a_daemon_reports_not_ready_with_a_reason(
    run: Callable[..., Ran], streams: Any
) -> None:
    streams.xadd("goald:events:2", {"event": "{}"})
    ran = run("status", "--json")
    assert ran.code == 4
    assert ran.json["ready"] is False
    assert ran.json["lag"] == 1
    assert {"name": "goald:events:2", "length": 1, "pending": 0, "lag": 1} in ran.json["streams"]
    assert ran.json["stream_bytes"]["goald:events:2"] > 0
    assert ran.json["stream_bytes"].keys() >= {"goald:exits", "goald:notices", "goald:dead"}
    assert ran.json["stream_lengths"]["goald:events:2"] == 1
    assert ran.json["redis_bytes"] > 0
    assert ran.json["redis_max_bytes"] is None
    assert ran.json["redis_url"] == os.environ["GOALD_REDIS_URL"]
    output = run("status")
    assert output.code == 4
    assert "NOT READY: goald serve is not running" in output.out


def test_status_shows_the_length_of_every_stream(run: Callable[..., Ran], streams: Any) -> None:
    """Exits that no engine reads are seen there first."""
    for _ in range(3):
        streams.xadd("goald:exits", {"event": "{}"})
    rows = {line.split()[0]: line.split() for line in run("status").out.splitlines() if line}
    assert rows["goald:exits"][1] == "3"
    assert rows["goald:notices"][1] == "0"
    assert " ".join(rows["goald:exits"][2:8]) == "not read by goald not read"


def test_status_lists_every_cause_and_the_cause_before_its_symptom(
    run: Callable[..., Ran], streams: Any
) -> None:
    now = datetime.now(UTC)
    silent = now - timedelta(seconds=90)
    heartbeats = [
        Heartbeat("supervisor", 0, 1, "h", now, now, True, consumers=1, shards=2),
        Heartbeat("shard", 0, 2, "h", now, now, False, not_ready_reason="Postgres refuses writes"),
        Heartbeat("shard", 1, 3, "h", now, silent, True),
        Heartbeat("consumer", 0, 4, "h", now, now, False, not_ready_reason="shard 0 takes nothing"),
    ]
    for each in heartbeats:
        streams.hset("goald:processes", each.field, encode(each))
    ran = run("status")
    assert ran.code == 4
    lines = ran.out.splitlines()
    assert lines[0] == "NOT READY: shard 0: Postgres refuses writes"
    assert lines[1].startswith("  also: shard 1: no heartbeat for ")
    assert lines[2] == "  also: consumer 0: shard 0 takes nothing"
    assert "also:" not in "".join(lines[3:])
    reasons = run("status", "--json").json["not_ready"]
    assert [reason.split(":")[0] for reason in reasons] == ["shard 0", "shard 1", "consumer 0"]


def test_status_counts_the_executions_of_all_shards(run: Callable[..., Ran], streams: Any) -> None:
    now = datetime.now(UTC)
    for index in (0, 1):
        registry = CollectorRegistry()
        ExecutionMetrics(registry).set_states({"sleeping": 600 + index, "failed": 0})
        metrics = snapshot(registry)
        heartbeat = Heartbeat("shard", index, 2, "h", now, now, True, metrics=metrics)
        streams.hset("goald:processes", heartbeat.field, encode(heartbeat))
    assert run("status", "--json").json["executions"] == {"sleeping": 1_201}
    assert "executions: 1,201 sleeping" in run("status").out.splitlines()


def test_status_prints_one_value_for_a_shell(run: Callable[..., Ran], streams: Any) -> None:
    assert run("status", "--get", "redis_url").out == os.environ["GOALD_REDIS_URL"] + "\n"
    assert run("status", "--get", "lag").out == "0\n"
    assert run("status", "--get", "ready").out == "false\n"


def test_status_of_an_unknown_value_suggests_a_known_one(
    run: Callable[..., Ran], streams: Any
) -> None:
    ran = run("status", "--get", "redis_ulr")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "goald: --get: the status has no redis_ulr. Did you mean redis_url?\n"
    ran = run("status", "--get", "data_dir")
    assert (ran.code, ran.err) == (1, "goald: This goald has no data_dir.\n")


def test_doctor_reports_working_services_as_ok(run: Callable[..., Ran], streams: Any) -> None:
    ran = run("doctor", "--json")
    found = {line["name"]: line for line in ran.lines}
    assert ran.code == 0, ran.out
    for name in (
        "native matcher",
        "Redis version",
        "Postgres",
        "schema",
        "roles",
        "clock of Redis",
        "memory limit of Redis",
        "memory of the streams",
    ):
        assert found[name]["state"] == "ok", found[name]
    assert "ok    Postgres" in run("doctor").out


def test_doctor_reports_a_compiled_matcher_of_another_version(
    run: Callable[..., Ran], streams: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_native, "INTERFACE", "an older one")
    found = found_by_doctor(run)["native matcher"]
    assert (found["state"], found["text"]) == ("fail", "was built for another version of goald")
    assert "make ext" in found["advice"]


def test_doctor_warns_if_entries_are_kept_for_a_shorter_time_than_set(
    run: Callable[..., Ran], streams: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOALD_ERASURE", "400")
    assert "GOALD_KEEP" not in found_by_doctor(run), "the default is not the operator's wish"
    monkeypatch.setenv("GOALD_KEEP", "301")
    found = found_by_doctor(run)["GOALD_KEEP"]
    assert (found["state"], found["advice"]) == (
        "warn",
        "set GOALD_KEEP to at most 300, or raise GOALD_ERASURE",
    )
    monkeypatch.setenv("GOALD_KEEP", "300")
    assert "GOALD_KEEP" not in found_by_doctor(run)


@contextmanager
def login_of(database: Database, *roles: str) -> Iterator[str]:
    """Yields the DSN of a new login that is a member of these roles."""
    login = "doctor_test_login"
    dsn = create_login(database.admin_dsn, login, *roles)
    try:
        yield dsn
    finally:
        with psycopg.connect(database.admin_dsn, autocommit=True) as admin:
            admin.execute(f"DROP ROLE {login}".encode())


def test_doctor_requires_of_the_daemons_login_only_the_roles_without_a_separate_login(
    run: Callable[..., Ran], streams: Any, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon's login does not need the permission to migrate."""
    with login_of(database, "goald_shard") as dsn:
        monkeypatch.setenv("GOALD_POSTGRES_DSN", dsn)
        roles = found_by_doctor(run)["roles"]
        assert "goald_owner, goald_api" in roles["text"]
        assert "GOALD_POSTGRES_API_DSN" in roles["advice"]
        monkeypatch.setenv("GOALD_POSTGRES_API_DSN", database.admin_dsn)
        roles = found_by_doctor(run)["roles"]
        assert (roles["state"], roles["text"]) == ("ok", "goald_shard")
        assert "GOALD_POSTGRES_OWNER_DSN" in roles["advice"]
        monkeypatch.setenv("GOALD_POSTGRES_OWNER_DSN", database.admin_dsn)
        roles = found_by_doctor(run)["roles"]
        assert (roles["state"], roles["text"], roles["advice"]) == ("ok", "goald_shard", "")


def test_doctor_asks_for_a_login_that_migrates_if_the_schema_is_old(
    run: Callable[..., Ran], streams: Any, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(database.admin_dsn) as admin:
        first = migrations.revisions()[0]
        admin.execute("UPDATE goald.alembic_version SET version_num = %s", (first,))
    with login_of(database, "goald_shard", "goald_api") as dsn:
        monkeypatch.setenv("GOALD_POSTGRES_DSN", dsn)
        found = found_by_doctor(run)
    assert (found["roles"]["state"], found["schema"]["state"]) == ("warn", "fail")
    assert "GOALD_POSTGRES_OWNER_DSN" in found["roles"]["advice"]
    assert "migrate" in found["schema"]["advice"]


def test_doctor_checks_what_embedded_servers_need_only_without_own_servers(
    run: Callable[..., Ran], streams: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_embedded = {"embedded services", "data directory", "socket paths"}
    assert not only_embedded & found_by_doctor(run).keys()
    monkeypatch.delenv("GOALD_REDIS_URL")
    monkeypatch.delenv("GOALD_POSTGRES_DSN")
    assert only_embedded <= found_by_doctor(run).keys()


def found_by_doctor(run: Callable[..., Ran]) -> dict[str, dict[str, str]]:
    """The checks of `goald doctor`, by name."""
    return {line["name"]: line for line in run("doctor", "--json").lines}


def test_doctor_fails_if_a_server_is_unreachable(
    run: Callable[..., Ran], streams: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOALD_REDIS_URL", f"unix://{tmp_path}/none.sock")
    ran = run("doctor", "--json")
    found = {line["name"]: line for line in ran.lines}
    assert ran.code == 1
    assert found["Redis"]["state"] == "fail"
    assert found["Postgres"]["state"] == "ok"


def test_doctor_reports_a_missing_schema(
    run: Callable[..., Ran], streams: Any, empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOALD_POSTGRES_DSN", empty_database.dsn)
    found = found_by_doctor(run)
    assert found["schema"]["state"] == "fail"
    assert "goald migrate" in found["schema"]["advice"]
    assert "goald migrate" not in found["schema"]["text"]
