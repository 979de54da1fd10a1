"""`goald audit verify` finds what a superuser changes behind goald's back, and nothing else."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.support.audit import achieve, add_workflow, configuring, tamper, told
from tests.support.services import Database

from goald.adapters.postgres.audit_reader import pieces
from goald.cli.main import main
from goald.domain.audit_log import Verification

Found = list[tuple[str, str, int, int | None]]


def found(database: Database, rows: int = 10_000) -> Found:
    """What a verification finds, reading so many rows at once."""
    verification = Verification({})
    return [
        (one.writer, one.kind, one.number, one.last)
        for piece in pieces(database.dsn, rows)
        for one in verification.take(piece)
    ]


@pytest.fixture
def log(database: Database) -> Database:
    """A log of three chains: nine achievements in commits of three, and two tenants."""
    for i in range(3):
        achieve(database, *(f"e-{i}-{n}" for n in range(3)))
    for tenant in ("acme", "zeta"):
        with configuring(database, tenant=tenant) as connection:
            add_workflow(connection, "w-1", name='A "name"\twith \\ ü 🎯 \x7f and \x01'[:-1])
            connection.execute("UPDATE goald.workflows SET is_active = true")
    return database


SHARD = "writer = 'slots/0' AND number"


@pytest.mark.parametrize("rows", [1, 2, 5, 10_000])
def test_log_that_nobody_touched_is_intact(log: Database, rows: int) -> None:
    assert len(told(log)) == 13
    assert found(log, rows) == []


def test_empty_log_is_intact(database: Database) -> None:
    assert found(database) == []


@pytest.mark.parametrize("rows", [1, 4, 10_000])
@pytest.mark.parametrize(
    ("what", "statements", "expected"),
    [
        (
            "after",
            [
                "UPDATE goald.audit_log SET after = jsonb_set(after, '{contact_id}', '\"eve\"')"
                f" WHERE {SHARD} = 4"
            ],
            [("changed", 4, None)],
        ),
        (
            "actor of the first",
            [f"UPDATE goald.audit_log SET actor = 'goale' WHERE {SHARD} = 1"],
            [("changed", 1, None)],
        ),
        (
            "actor of the last",
            [f"UPDATE goald.audit_log SET actor = 'goale' WHERE {SHARD} = 9"],
            [("changed", 9, None)],
        ),
        (
            "when",
            [
                "UPDATE goald.audit_log SET recorded_at = recorded_at + '1 microsecond'"
                f" WHERE {SHARD} = 5"
            ],
            [("changed", 5, None)],
        ),
        (
            "tenant",
            [f"UPDATE goald.audit_log SET tenant_id = 'zeta' WHERE {SHARD} = 5"],
            [("changed", 5, None)],
        ),
        (
            "two rows that follow one another",
            [f"UPDATE goald.audit_log SET actor = 'eve' WHERE {SHARD} IN (4, 5)"],
            [("changed", 4, None), ("changed", 5, None)],
        ),
        (
            "hash",
            [
                "UPDATE goald.audit_log SET hash = set_byte(hash, 7, get_byte(hash, 7) # 1)"
                f" WHERE {SHARD} = 4"
            ],
            [("rehashed", 4, None)],
        ),
        (
            "hash of the last",
            [
                "UPDATE goald.audit_log SET hash = set_byte(hash, 7, get_byte(hash, 7) # 1)"
                f" WHERE {SHARD} = 9"
            ],
            [("rehashed", 9, None)],
        ),
        (
            "deleted in the middle",
            [f"DELETE FROM goald.audit_log WHERE {SHARD} IN (4, 5)"],
            [("missing", 4, 5)],
        ),
        (
            "deleted at the beginning",
            [f"DELETE FROM goald.audit_log WHERE {SHARD} = 1"],
            [("missing", 1, None)],
        ),
        (
            "cut off",
            [f"DELETE FROM goald.audit_log WHERE {SHARD} = 9"],
            [("cut off", 9, None)],
        ),
        (
            "cut off as a whole",
            [f"DELETE FROM goald.audit_log WHERE {SHARD} > 0"],
            [("cut off", 1, 9)],
        ),
        (
            "neighbours exchanged",
            [
                f"UPDATE goald.audit_log SET number = 99 WHERE {SHARD} = 4",
                f"UPDATE goald.audit_log SET number = 4 WHERE {SHARD} = 5",
                f"UPDATE goald.audit_log SET number = 5 WHERE {SHARD} = 99",
            ],
            [("swapped", 4, None), ("swapped", 5, None)],
        ),
        (
            "far rows exchanged",
            [
                f"UPDATE goald.audit_log SET number = 99 WHERE {SHARD} = 3",
                f"UPDATE goald.audit_log SET number = 3 WHERE {SHARD} = 8",
                f"UPDATE goald.audit_log SET number = 8 WHERE {SHARD} = 99",
            ],
            [("swapped", 3, None), ("swapped", 8, None)],
        ),
        (
            "content of two rows exchanged, hashes left",
            [
                "UPDATE goald.audit_log l SET subject_id = o.subject_id, after = o.after,"
                " recorded_at = o.recorded_at FROM goald.audit_log o"
                " WHERE l.writer = 'slots/0' AND o.writer = 'slots/0'"
                " AND (l.number, o.number) IN ((3, 6), (6, 3))"
            ],
            [("swapped", 3, None), ("swapped", 6, None)],
        ),
        (
            "put in behind the end",
            [
                "INSERT INTO goald.audit_log SELECT writer, 10, tenant_id, recorded_at, actor,"
                f" action, subject, 'e-x', workflow_id, before, after, hash FROM goald.audit_log"
                f" WHERE {SHARD} = 9"
            ],
            [("beyond the end", 10, None), ("changed", 10, None)],
        ),
        (
            "put in before another of its number",
            [
                "INSERT INTO goald.audit_log SELECT writer, number, tenant_id,"
                " recorded_at - interval '1 second', actor, action, subject, 'e-x', workflow_id,"
                f" before, after, hash FROM goald.audit_log WHERE {SHARD} = 5"
            ],
            [("added", 5, None)],
        ),
        (
            "put in behind another of its number",
            [
                "INSERT INTO goald.audit_log SELECT writer, number, tenant_id,"
                " recorded_at + interval '1 second', actor, action, subject, 'e-x', workflow_id,"
                f" before, after, hash FROM goald.audit_log WHERE {SHARD} = 5"
            ],
            [("added", 5, None)],
        ),
        (
            "end turned back",
            ["UPDATE goald.audit_heads SET number = 7 WHERE writer = 'slots/0'"],
            [("beyond the end", 8, 9)],
        ),
        (
            "end's hash",
            ["UPDATE goald.audit_heads SET hash = '\\x00' WHERE writer = 'slots/0'"],
            [("end changed", 9, None)],
        ),
        (
            "end deleted",
            ["DELETE FROM goald.audit_heads WHERE writer = 'slots/0'"],
            [("no end", 9, None)],
        ),
    ],
    ids=lambda given: given.replace(" ", "-") if isinstance(given, str) else "",
)
def test_what_was_tampered_with_is_found_and_named(
    log: Database,
    what: str,
    statements: list[str],
    expected: list[tuple[str, int, int | None]],
    rows: int,
) -> None:
    tamper(log, *statements)
    assert found(log, rows) == [("slots/0", *one) for one in expected]


def test_row_of_a_tenants_chain_is_named_by_its_writer(log: Database) -> None:
    tamper(log, "UPDATE goald.audit_log SET actor = 'eve' WHERE writer = 'tenant/zeta'")
    assert found(log, 3) == [
        ("tenant/zeta", "changed", 1, None),
        ("tenant/zeta", "changed", 2, None),
    ]


def test_functions_of_the_database_are_not_relied_on(log: Database) -> None:
    """Whoever can change rows can change the function that hashed them."""
    tamper(log, f"UPDATE goald.audit_log SET actor = 'eve' WHERE {SHARD} = 2")
    with psycopg.connect(log.admin_dsn) as admin:
        admin.execute("DROP TRIGGER audit ON goald.workflow_goal_achievements")
        admin.execute("DROP FUNCTION goald.audit_text CASCADE")
    assert found(log) == [("slots/0", "changed", 2, None)]


def test_log_is_intact_while_it_grows(database: Database) -> None:
    stop = threading.Event()
    commits = 0

    def commit() -> None:
        nonlocal commits
        while not stop.is_set():
            achieve(database, *(f"e-{commits}-{n}" for n in range(5)))
            with configuring(database, tenant=f"t-{commits % 7}") as connection:
                add_workflow(connection, f"w-{commits}")
            commits += 1

    writer = threading.Thread(target=commit)
    writer.start()
    try:
        seen = 0
        while seen < 20:
            assert found(database, rows=7) == []
            seen = commits
            assert writer.is_alive()
    finally:
        stop.set()
        writer.join(30)


# The command


@pytest.fixture
def verify(
    log: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, Any]]:
    """Runs `goald audit verify --json …`; its exit code and answer."""
    monkeypatch.setenv("GOALD_POSTGRES_DSN", log.dsn)

    def run(*arguments: str) -> tuple[int, Any]:
        code = main(["audit", "verify", "--json", *arguments])
        out = capsys.readouterr().out
        return code, json.loads(out) if out else None

    return run


def test_command_ends_with_0_over_an_intact_log(verify: Callable[..., tuple[int, Any]]) -> None:
    code, answer = verify()
    assert code == 0
    assert (answer["intact"], answer["rows"], answer["chains"]) == (True, 13, 3)


def test_command_ends_with_1_and_says_what_a_finding_means(
    log: Database, verify: Callable[..., tuple[int, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    tamper(log, f"DELETE FROM goald.audit_log WHERE {SHARD} IN (4, 5)")
    code, answer = verify()
    assert code == 1
    assert not answer["intact"]
    (one,) = answer["findings"]
    assert (one["writer"], one["number"], one["last_number"]) == ("slots/0", 4, 5)
    assert main(["audit", "verify"]) == 1
    shown = capsys.readouterr().out
    assert "NOT as it was written" in shown
    assert "4-5" in shown
    assert "it was deleted" in shown


def test_ends_kept_elsewhere_find_a_log_rewritten_with_its_own_ends(
    log: Database, verify: Callable[..., tuple[int, Any]], tmp_path: Path
) -> None:
    kept = tmp_path / "heads.json"
    assert verify("--save-heads", str(kept))[1]["heads_saved"] == str(kept)
    achieve(log, "later")
    assert verify("--heads", str(kept))[0] == 0
    rewrite_last_of_tenant(log)
    assert verify()[0] == 0
    code, answer = verify("--heads", str(kept))
    assert code == 1
    assert [(one["writer"], one["what"]) for one in answer["findings"]] == [
        ("tenant/zeta", "rewritten")
    ]


@pytest.mark.parametrize(
    ("chain", "left"), [("slots/0", 7), ("slots/0", 0), ("tenant/acme", 0), ("tenant/zeta", 1)]
)
def test_ends_kept_elsewhere_find_a_chain_cut_off_with_its_own_end(
    log: Database, verify: Callable[..., tuple[int, Any]], tmp_path: Path, chain: str, left: int
) -> None:
    kept = tmp_path / "heads.json"
    verify("--save-heads", str(kept))
    tamper(log, f"DELETE FROM goald.audit_log WHERE writer = '{chain}' AND number > {left}")
    tamper(
        log,
        f"DELETE FROM goald.audit_heads WHERE writer = '{chain}'"
        if not left
        else "UPDATE goald.audit_heads h SET number = l.number, hash = l.hash FROM goald.audit_log"
        f" l WHERE l.writer = h.writer AND h.writer = '{chain}' AND l.number = {left}",
    )
    assert verify()[0] == 0
    code, answer = verify("--heads", str(kept))
    assert code == 1
    assert [(one["writer"], one["what"]) for one in answer["findings"]] == [(chain, "gone")]


def rewrite_last_of_tenant(log: Database) -> None:
    """Change the last row of a chain, hash it anew, and put the end right."""
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


def test_ends_of_a_log_that_is_not_intact_are_not_saved(
    log: Database, verify: Callable[..., tuple[int, Any]], tmp_path: Path
) -> None:
    tamper(log, f"DELETE FROM goald.audit_log WHERE {SHARD} = 9")
    code, answer = verify("--save-heads", str(tmp_path / "heads.json"))
    assert (code, answer["heads_saved"]) == (1, None)
    assert not (tmp_path / "heads.json").exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"goald_audit_heads": 1, "heads": {"w": 1}}'])
def test_file_that_holds_no_ends_is_refused(
    verify: Callable[..., tuple[int, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: str,
) -> None:
    file = tmp_path / "heads.json"
    file.write_text(content)
    assert main(["audit", "verify", "--heads", str(file)]) == 1
    assert "holds no ends of the audit log" in capsys.readouterr().err


def test_database_without_a_log_says_what_to_do(
    empty_database: Database,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("GOALD_POSTGRES_DSN", empty_database.dsn)
    assert main(["audit", "verify"]) == 1
    assert "run `goald migrate`" in capsys.readouterr().err


def test_login_that_may_not_act_as_the_owner_is_told_so(
    log: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    login = "audit_test_nobody"
    with psycopg.connect(log.admin_dsn, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {login} LOGIN".encode())
        try:
            dsn = psycopg.conninfo.make_conninfo(log.admin_dsn, user=login)
            monkeypatch.setenv("GOALD_POSTGRES_DSN", dsn)
            assert main(["audit", "verify"]) == 1
            assert "GOALD_POSTGRES_OWNER_DSN" in capsys.readouterr().err
        finally:
            admin.execute(f"DROP ROLE {login}".encode())


def test_postgres_that_is_away_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOALD_POSTGRES_DSN", "postgresql:///goald?host=/nowhere")
    assert main(["audit", "verify"]) == 3
