"""Every command says whether user, password, database or permission is wrong if Redis or Postgres
rejects the login, and exits with 2."""

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import redis
from tests.support.services.commands import GOALD, Ran
from tests.support.services.servers import Database

DEADLINE_S = 60
SECRET = "a secret of thirty-two characters"
WORKFLOW = "tenant: acme\nworkflows: [{id: w, name: W}]\n"


@dataclass(frozen=True)
class Logins:
    """Addresses of one database with logins that Postgres rejects."""

    dsn: str

    def url(self, user: str, database: str | None = None) -> str:
        """The address with this user, as USER or USER:PASSWORD, and this database."""
        parts = urlsplit(self.dsn)
        path = parts.path if database is None else f"/{database}"
        return urlunsplit(parts._replace(netloc=f"{user}@", path=path))


@pytest.fixture
def logins(database: Database) -> Iterator[Logins]:
    """Postgres asks the role `locked` for the password `right`, and rejects the role `barred`."""
    with psycopg.connect(database.admin_dsn, autocommit=True) as admin:
        found = admin.execute("SHOW hba_file").fetchone()
        assert found is not None
        rules = Path(found[0])
        before = rules.read_text()
        admin.execute("CREATE ROLE locked LOGIN PASSWORD 'right'")
        try:
            rules.write_text(
                "local all locked scram-sha-256\nlocal all barred reject\n"
                "local all unknown,goald trust\n" + before
            )
            admin.execute("SELECT pg_reload_conf()")
            yield Logins(database.dsn)
        finally:
            rules.write_text(before)
            admin.execute("SELECT pg_reload_conf()")
            admin.execute("DROP ROLE locked")


@pytest.fixture
def files(clean: None, tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text(WORKFLOW)


@pytest.fixture
def password(redis_url: str) -> Iterator[str]:
    """Redis requires this password."""
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("requirepass", "right")
    yield "right"
    with redis.Redis.from_url(redis_url, password="right") as client:
        client.config_set("requirepass", "")


@pytest.fixture
def limited(redis_url: str) -> Iterator[str]:
    """The address of a Redis user that may only PING."""
    with redis.Redis.from_url(redis_url) as client:
        client.execute_command("ACL SETUSER limited on >right ~* +ping +client +select")
        yield redis_url.replace("unix://", "unix://limited:right@")
        client.execute_command("ACL DELUSER limited")


REDIS_COMMANDS = [
    ["status"],
    ["send", "form.submitted", "--tenant", "t", "--contact", "c", "form_id=f"],
    ["tail", "exits"],
    ["dead", "list"],
    ["dead", "show", "1-1"],
    ["streams"],
]
POSTGRES_COMMANDS = [["apply", "w.yaml"], ["migrate"], ["audit", "verify"], ["secrets", "rotate"]]
REFUSED = {
    "user": ("unknown", None, 'role "unknown" does not exist. Check the user in '),
    "rule": ("barred", None, "pg_hba.conf rejects connection for host"),
    "database": ("goald", "nothing", 'database "nothing" does not exist. Create the database, '),
    "password": (
        "locked:wrong", None,
        'password authentication failed for user "locked". Check user and password in ',
    ),
}  # fmt: skip


def run_process(words: list[str], **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GOALD_")}
    return subprocess.run(
        [*GOALD, *words],
        env=environment | {f"GOALD_{name.upper()}": value for name, value in settings.items()},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@pytest.mark.parametrize("wrong", REFUSED)
@pytest.mark.parametrize("words", POSTGRES_COMMANDS, ids=" ".join)
@pytest.mark.usefixtures("files")
def test_a_command_says_why_postgres_rejects_the_login(
    run: Callable[..., Ran],
    words: list[str],
    wrong: str,
    logins: Logins,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user, database, reason = REFUSED[wrong]
    monkeypatch.setenv("GOALD_REDIS_URL", redis_url)
    monkeypatch.setenv("GOALD_POSTGRES_DSN", logins.url(user, database))
    monkeypatch.setenv("GOALD_SECRETS_KEYS", "YJ7vXl1LQmFQ0ZbO3p3c2Q0kKq1ZrYyZ2m1n4v8s6hE=")
    ran = run(*words)
    assert ran.code == 2, ran.err
    assert " rejects the login: " in ran.err
    assert reason in ran.err
    assert "GOALD_POSTGRES_DSN" in ran.err
    assert "locked:wrong" not in ran.err
    assert ran.err.count("\n") == 1


def test_a_missing_password_of_postgres_is_named(
    run: Callable[..., Ran], logins: Logins, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOALD_REDIS_URL", redis_url)
    monkeypatch.setenv("GOALD_POSTGRES_DSN", logins.url("locked"))
    ran = run("migrate")
    assert ran.code == 2
    assert "it asks for a password, and the address contains none. Add the password to" in ran.err


@pytest.mark.parametrize("words", REDIS_COMMANDS, ids=" ".join)
def test_a_command_says_that_redis_requires_a_password(
    run: Callable[..., Ran], words: list[str], password: str, streams: Any
) -> None:
    ran = run(*words)
    assert ran.code == 2, ran.err
    assert "it asks for a password, and the address contains none. Add the password" in ran.err
    assert "GOALD_REDIS_URL" in ran.err


@pytest.mark.parametrize("words", REDIS_COMMANDS, ids=" ".join)
def test_a_command_says_that_the_password_of_redis_is_wrong(
    run: Callable[..., Ran],
    words: list[str],
    redis_url: str,
    streams: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOALD_REDIS_URL", redis_url.replace("unix://", "unix://unknown:secret@"))
    ran = run(*words)
    assert ran.code == 2, ran.err
    assert "the password is wrong, or the user does not exist or is disabled. Check" in ran.err
    assert "secret" not in ran.err


@pytest.mark.parametrize("words", REDIS_COMMANDS, ids=" ".join)
def test_a_command_names_the_permission_that_a_redis_user_lacks(
    run: Callable[..., Ran],
    words: list[str],
    limited: str,
    streams: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOALD_REDIS_URL", limited)
    ran = run(*words)
    assert ran.code == 2, ran.err
    assert "rejects a command: User limited has no permissions to run the '" in ran.err
    assert "ACL SETUSER" in ran.err


@pytest.mark.parametrize(("words", "wrong"), [("serve", "user"), ("serve", "database"),
                                              ("api", "password")])  # fmt: skip
def test_a_daemon_says_why_postgres_rejects_the_login(
    words: str, wrong: str, logins: Logins, redis_url: str
) -> None:
    user, database, reason = REFUSED[wrong]
    ran = run_process(
        [words],
        redis_url=redis_url,
        postgres_dsn=logins.url(user, database),
        jwt_secret=SECRET,
        metrics_port="0",
        api_port="0",
    )
    assert ran.returncode == 2, ran.stderr
    assert f" rejects the login: {reason}" in ran.stderr


def test_the_daemon_says_why_redis_rejects_the_login(
    database: Database, redis_url: str, password: str
) -> None:
    ran = run_process(
        ["serve"], redis_url=redis_url, postgres_dsn=database.dsn, metrics_port="0", api_port="0"
    )
    assert ran.returncode == 2, ran.stderr
    assert " rejects the login: it asks for a password, and the address" in ran.stderr
    assert "starting Ray" not in ran.stdout


def test_doctor_says_why_a_login_is_rejected(logins: Logins, redis_url: str, password: str) -> None:
    ran = run_process(["doctor"], redis_url=redis_url, postgres_dsn=logins.url("goald", "nothing"))
    assert ran.returncode == 1
    assert "rejects the login: it asks for a password, and the address contains none" in ran.stdout
    assert 'rejects the login: database "nothing" does not exist' in ran.stdout
    assert "Create the database, or correct its name in GOALD_POSTGRES_DSN" in ran.stdout
    assert "cannot connect" not in ran.stdout
