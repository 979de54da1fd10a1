"""`goald audit verify`: exit codes, messages, and saved heads."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.support.data.audit import SHARD, achieve, tamper, three_chains
from tests.support.services.logins import create_login
from tests.support.services.servers import Database

from goald.cli.main import main


@pytest.fixture
def log(database: Database) -> Database:
    three_chains(database)
    return database


@pytest.fixture
def verify(
    log: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, Any]]:
    """Returns a function that runs `goald audit verify --json` and returns its code and output."""
    monkeypatch.setenv("GOALD_POSTGRES_DSN", log.dsn)

    def run(*arguments: str) -> tuple[int, Any]:
        code = main(["audit", "verify", "--json", *arguments])
        out = capsys.readouterr().out
        return code, json.loads(out) if out else None

    return run


def test_an_intact_log_exits_with_0(verify: Callable[..., tuple[int, Any]]) -> None:
    code, answer = verify()
    assert code == 0
    assert (answer["intact"], answer["rows"], answer["chains"]) == (True, 13, 3)


def test_a_tampered_log_exits_with_1_and_explains_each_finding(
    log: Database, verify: Callable[..., tuple[int, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    tamper(log, f"DELETE FROM goald.audit_log WHERE {SHARD} IN (4, 5)")
    code, answer = verify()
    assert code == 1
    assert not answer["intact"]
    (finding,) = answer["findings"]
    assert (finding["chain"], finding["number"], finding["last_number"]) == ("slots/0", 4, 5)
    assert main(["audit", "verify"]) == 1
    output = capsys.readouterr().out
    assert "NOT intact" in output
    assert "4-5" in output
    assert "the row was deleted" in output


def test_saved_heads_reveal_a_log_rewritten_with_its_own_heads(
    log: Database, verify: Callable[..., tuple[int, Any]], tmp_path: Path
) -> None:
    saved = tmp_path / "heads.json"
    assert verify("--save-heads", str(saved))[1]["heads_saved"] == str(saved)
    achieve(log, "later")
    assert verify("--heads", str(saved))[0] == 0
    rewrite_last_of_tenant(log)
    assert verify()[0] == 0
    code, answer = verify("--heads", str(saved))
    assert code == 1
    assert [(finding["chain"], finding["finding"]) for finding in answer["findings"]] == [
        ("tenant/zeta", "rewritten")
    ]


@pytest.mark.parametrize(
    ("chain", "last"), [("slots/0", 7), ("slots/0", 0), ("tenant/acme", 0), ("tenant/zeta", 1)]
)
def test_saved_heads_reveal_a_chain_truncated_with_its_own_head(
    log: Database, verify: Callable[..., tuple[int, Any]], tmp_path: Path, chain: str, last: int
) -> None:
    saved = tmp_path / "heads.json"
    verify("--save-heads", str(saved))
    tamper(log, f"DELETE FROM goald.audit_log WHERE writer = '{chain}' AND number > {last}")
    tamper(
        log,
        f"DELETE FROM goald.audit_heads WHERE writer = '{chain}'"
        if not last
        else "UPDATE goald.audit_heads h SET number = l.number, hash = l.hash FROM goald.audit_log"
        f" l WHERE l.writer = h.writer AND h.writer = '{chain}' AND l.number = {last}",
    )
    assert verify()[0] == 0
    code, answer = verify("--heads", str(saved))
    assert code == 1
    assert [(finding["chain"], finding["finding"]) for finding in answer["findings"]] == [
        (chain, "lost")
    ]


def rewrite_last_of_tenant(log: Database) -> None:
    """Change the last row of a chain, its hash, and the head."""
    with psycopg.connect(log.admin_dsn) as admin:
        admin.execute(
            "UPDATE goald.audit_log l SET actor = 'eve', hash = goald.audit_link(NULL, p.hash,"
            " goald.audit_text(l.writer, l.number, l.tenant_id, l.recorded_at, 'eve', l.action,"
            " l.subject, l.subject_id, l.workflow_id, l.before, l.after)) FROM goald.audit_log p"
            " WHERE l.writer = 'tenant/zeta' AND p.writer = l.writer AND l.number = 2"
            " AND p.number = 1"
        )
        admin.execute(
            "UPDATE goald.audit_heads h SET hash = l.hash FROM goald.audit_log l"
            " WHERE h.writer = 'tenant/zeta' AND l.writer = h.writer AND l.number = h.number"
        )


def test_heads_of_a_log_that_is_not_intact_are_not_saved(
    log: Database, verify: Callable[..., tuple[int, Any]], tmp_path: Path
) -> None:
    tamper(log, f"DELETE FROM goald.audit_log WHERE {SHARD} = 9")
    code, answer = verify("--save-heads", str(tmp_path / "heads.json"))
    assert (code, answer["heads_saved"]) == (1, None)
    assert not (tmp_path / "heads.json").exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"goald_audit_heads": 1, "heads": {"w": 1}}'])
def test_a_heads_file_of_another_format_is_refused(
    verify: Callable[..., tuple[int, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: str,
) -> None:
    file = tmp_path / "heads.json"
    file.write_text(content)
    assert main(["audit", "verify", "--heads", str(file)]) == 1
    assert "was not written by `goald audit verify --save-heads`" in capsys.readouterr().err


def test_a_database_without_a_schema_reports_that_migrate_is_needed(
    empty_database: Database,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("GOALD_POSTGRES_DSN", empty_database.dsn)
    assert main(["audit", "verify"]) == 1
    assert "run `goald migrate`" in capsys.readouterr().err


def test_a_login_without_the_owner_role_is_refused_with_the_setting_to_use(
    log: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    login = "audit_test_no_roles"
    with psycopg.connect(log.admin_dsn, autocommit=True) as admin:
        dsn = create_login(log.admin_dsn, login)
        try:
            monkeypatch.setenv("GOALD_POSTGRES_DSN", dsn)
            assert main(["audit", "verify"]) == 1
            assert "GOALD_POSTGRES_OWNER_DSN" in capsys.readouterr().err
        finally:
            admin.execute(f"DROP ROLE {login}".encode())


def test_an_unreachable_postgres_is_reported_with_its_address(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GOALD_POSTGRES_DSN", "postgresql:///goald?host=/nowhere")
    assert main(["audit", "verify"]) == 3
    assert capsys.readouterr().err == (
        "goald: Cannot connect to Postgres at /nowhere/.s.PGSQL.5432: the socket does not exist. "
        "Check that it is running and that GOALD_POSTGRES_DSN is right.\n"
    )
