"""Every command reports an unreachable server, and a missing goald, with a cause and advice."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.services.commands import Ran
from tests.support.services.servers import Database

WORKFLOW = "tenant: acme\nworkflows: [{id: w, name: W}]\n"
EVENT = (
    '{"id": "e", "source": "s", "type": "form.submitted", "time": "2026-01-01T00:00:00Z",'
    ' "tenantid": "acme", "data": {"contact_id": "c", "form_id": "f"}}'
)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that refuses connections, kept by a socket that does not listen."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@pytest.fixture
def files(clean: None, tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text(WORKFLOW)
    (tmp_path / "event.json").write_text(EVENT)


REDIS_COMMANDS = [
    ["status"],
    ["send", "form.submitted", "--tenant", "t", "--contact", "c"],
    ["replay", "-"],
    ["tail", "exits"],
    ["dead", "list"],
    ["dead", "show", "1-1"],
    ["dead", "replay", "--all"],
    ["dead", "purge", "--all"],
    ["streams"],
    ["streams", "set", "8"],
]


@pytest.mark.parametrize("words", REDIS_COMMANDS, ids=" ".join)
def test_an_unreachable_redis_is_reported_with_cause_and_advice(
    run: Callable[..., Ran],
    words: list[str],
    closed_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOALD_REDIS_URL", f"redis://:secret@127.0.0.1:{closed_port}")
    monkeypatch.setenv("GOALD_POSTGRES_DSN", "postgresql://goald@127.0.0.1:1/goald")
    ran = run(*words, stdin=b"")
    assert ran.code == 3
    assert ran.err.splitlines()[-1] == (
        f"goald: Cannot connect to Redis at 127.0.0.1:{closed_port}: connection refused. "
        "Check that it is running and that GOALD_REDIS_URL is right."
    )


@pytest.mark.parametrize(
    ("words", "setting"),
    [
        (["apply", "w.yaml"], "GOALD_POSTGRES_API_DSN"),
        (["explain", "event.json"], "GOALD_POSTGRES_API_DSN"),
        (["migrate"], "GOALD_POSTGRES_OWNER_DSN"),
        (["audit", "verify"], "GOALD_POSTGRES_OWNER_DSN"),
    ],
    ids=str,
)
@pytest.mark.parametrize("own", [True, False], ids=["separate login", "the daemon's login"])
@pytest.mark.usefixtures("files")
def test_an_unreachable_postgres_is_reported_with_cause_and_advice(
    run: Callable[..., Ran],
    words: list[str],
    setting: str,
    own: bool,
    closed_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    setting = setting if own else "GOALD_POSTGRES_DSN"
    monkeypatch.setenv("GOALD_REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("GOALD_POSTGRES_DSN", "postgresql://goald@127.0.0.1:1/goald")
    monkeypatch.setenv(setting, f"postgresql://goald:secret@127.0.0.1:{closed_port}/goald")
    ran = run(*words)
    assert ran.code == 3
    assert ran.err == (
        f"goald: Cannot connect to Postgres at 127.0.0.1:{closed_port}: connection refused. "
        f"Check that it is running and that {setting} is right.\n"
    )


def test_an_unknown_host_is_reported_with_its_name(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    monkeypatch.setenv("GOALD_REDIS_URL", "redis://no-such-host.invalid:7000")
    monkeypatch.setenv("GOALD_POSTGRES_DSN", database.dsn)
    ran = run("dead", "list")
    assert ran.code == 3
    assert "Cannot connect to Redis at no-such-host.invalid:7000: " in ran.err


@pytest.mark.parametrize("words", [*REDIS_COMMANDS, ["apply", "w.yaml"], ["migrate"]], ids=" ".join)
@pytest.mark.usefixtures("files")
def test_without_a_running_goald_the_error_contains_the_data_directory(
    run: Callable[..., Ran], words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOALD_DATA_DIR", "elsewhere")
    ran = run(*words, stdin=b"")
    assert ran.code == 1
    assert ran.err.startswith(
        "goald: No goald is running on the data directory elsewhere. Start one with "
        "`goald serve --embedded`"
    )
    assert ran.err.count("\n") == 1
