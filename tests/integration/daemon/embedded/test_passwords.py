"""The embedded Postgres requires passwords, and its log contains no values of rows."""

import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from goald.domain.errors import StartError
from goald.runtime.embedded import DataDirectory
from goald.runtime.embedded.identity import Identity
from goald.runtime.embedded.passwords import require_passwords, requires_passwords
from goald.runtime.embedded.postgres import Postgres, _binaries

TRUST = "local all all trust\nhost all all 127.0.0.1/32 trust\n"
"""What initdb wrote for earlier releases."""
VALUE = "reader@example.com"


@contextmanager
def postgres(place: Path) -> Iterator[Postgres]:
    with DataDirectory.open(place) as data:
        server = Postgres(data, Identity.choose())
        try:
            server.start()
            yield server
        finally:
            server.stop()


def refused(dsn: str, password: str) -> str:
    """Why the server refuses this password; an empty one is not sent."""
    parts = urlsplit(dsn)
    login = parts.username if not password else f"{parts.username}:{password}"
    with pytest.raises(psycopg.OperationalError) as error:
        psycopg.connect(urlunsplit(parts._replace(netloc=f"{login}@"))).close()
    return str(error.value)


def assert_passwords_are_required(server: Postgres) -> None:
    for dsn in (server.dsn("goald", "goald"), server.dsn("postgres", "postgres")):
        assert "no password supplied" in refused(dsn, "")
        assert "password authentication failed" in refused(dsn, "wrong")
        psycopg.connect(dsn).close()
    of_goald = urlsplit(server.dsn("goald", "goald")).password or ""
    assert "password authentication failed" in refused(server.dsn("postgres", "goald"), of_goald)


def note(server: Postgres, word: str) -> None:
    with psycopg.connect(server.dsn("goald", "goald")) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS words (word text PRIMARY KEY)")
        connection.execute("INSERT INTO words VALUES (%s)", (word,))


def notes(server: Postgres) -> list[str]:
    with psycopg.connect(server.dsn("goald", "goald")) as connection:
        return [word for (word,) in connection.execute("SELECT word FROM words ORDER BY word")]


def make_older(place: Path) -> None:
    """Make the files those of a release that required no password."""
    with postgres(place) as server, psycopg.connect(server.dsn("postgres", "postgres")) as admin:
        admin.execute("ALTER ROLE goald PASSWORD NULL")
        admin.execute("ALTER ROLE postgres PASSWORD NULL")
    (place / "postgres" / "pg_hba.conf").write_text(TRUST)
    (place / "postgres-passwords").unlink()


def test_each_login_has_a_separate_password_in_a_private_file(place: Path) -> None:
    with postgres(place) as server:
        assert_passwords_are_required(server)
        file = place / "postgres-passwords"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        before = file.read_bytes()
        note(server, "kept")
    with postgres(place) as server:
        assert_passwords_are_required(server)
        assert notes(server) == ["kept"]
    assert file.read_bytes() == before


def test_the_password_file_serves_psql(place: Path) -> None:
    with postgres(place) as server:
        parts = urlsplit(server.dsn("goald", "goald"))
        result = subprocess.run(
            [_binaries() / "psql", "-XAt", urlunsplit(parts._replace(netloc="goald@")), "-c",
             "SELECT current_user"],
            env={"PGPASSFILE": str(place / "postgres-passwords")},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert result.stdout == "goald\n"


def test_files_of_a_release_without_passwords_get_them_and_keep_their_data(place: Path) -> None:
    with postgres(place) as server:
        note(server, "kept")
    make_older(place)
    with postgres(place) as server:
        assert_passwords_are_required(server)
        assert notes(server) == ["kept"]
    assert "trust" not in (place / "postgres" / "pg_hba.conf").read_text()


def test_files_of_a_release_without_passwords_are_upgraded_after_kill_9(place: Path) -> None:
    make_older(place)
    with DataDirectory.open(place) as data:
        server = Postgres(data, Identity.choose())
        server.start()
        note(server, "kept")
        assert server.server is not None
        server.server._process.kill()
        server.server._process.wait()
        (place / "postgres" / "pg_hba.conf").write_text(TRUST)
        (place / "postgres-passwords").unlink()
    with postgres(place) as server:
        assert_passwords_are_required(server)
        assert notes(server) == ["kept"]


@pytest.mark.parametrize("lost", ["save", "require"])
def test_a_start_that_is_killed_while_it_sets_passwords_is_repeated(
    place: Path, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres(place) as server:
        note(server, "kept")
    make_older(place)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    where = "goald.runtime.embedded.postgres"
    target = f"{where}.Passwords.save" if lost == "save" else f"{where}.require_passwords"
    with monkeypatch.context() as patch:
        patch.setattr(target, killed)
        with pytest.raises(KeyboardInterrupt), postgres(place):
            pass
    with postgres(place) as server:
        assert_passwords_are_required(server)
        assert notes(server) == ["kept"]


def test_lost_passwords_are_replaced(place: Path) -> None:
    with postgres(place) as server:
        note(server, "kept")
    (place / "postgres-passwords").unlink()
    with postgres(place) as server:
        assert_passwords_are_required(server)
        assert notes(server) == ["kept"]


def test_requiring_passwords_changes_no_file_behind_a_symbolic_link(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text(TRUST)
    cluster = tmp_path / "postgres"
    cluster.mkdir()
    (cluster / "pg_hba.conf").symlink_to(target)
    require_passwords(cluster)
    assert requires_passwords(cluster)
    assert not (cluster / "pg_hba.conf").is_symlink()
    assert target.read_text() == TRUST


def test_a_wrong_password_is_reported_with_what_to_do(place: Path) -> None:
    with postgres(place):
        pass
    file = place / "postgres-passwords"
    file.write_text("".join(f"*:*:*:{login}:{'x' * 43}\n" for login in ("postgres", "goald")))
    with pytest.raises(StartError, match=f"delete {file}") as error, postgres(place):
        pass
    assert "x" * 43 not in str(error.value)
    file.unlink()
    with postgres(place) as server:
        assert_passwords_are_required(server)


def test_the_log_names_errors_without_values_of_rows(place: Path) -> None:
    with postgres(place) as server:
        note(server, VALUE)
        with psycopg.connect(server.dsn("goald", "goald"), autocommit=True) as connection:
            for statement in (
                f"INSERT INTO words VALUES ('{VALUE}')",
                f"INSERT INTO words SELECT '{VALUE}' FROM generate_series(1, 2)",
                f"DO $$ BEGIN INSERT INTO words VALUES ('{VALUE}'); END $$",
            ):
                with pytest.raises(psycopg.errors.UniqueViolation, match="words_pkey"):
                    connection.execute(statement.encode())
    log = (place / "logs" / "postgres.log").read_text()
    assert log.count('duplicate key value violates unique constraint "words_pkey"') == 3
    assert VALUE not in log
    assert "DETAIL" not in log
