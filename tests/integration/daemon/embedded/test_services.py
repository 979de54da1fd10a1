"""The embedded services are durable, belong to one goald, and end with it."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psycopg
import pytest
import redis

from goald.domain.errors import StartError
from goald.runtime.embedded import DataDirectory, EmbeddedEndpoints, EmbeddedServices
from goald.runtime.embedded.data_dir import short_directory

_SERVE = """
import dataclasses, json, sys, time
from pathlib import Path
from goald.runtime.embedded import DataDirectory, EmbeddedServices

data = DataDirectory.open(Path(sys.argv[1]))
endpoints = EmbeddedServices(data).start()
print(json.dumps(dataclasses.asdict(endpoints)), flush=True)
time.sleep(600)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A new directory, removed after the test."""
    path = Path(tempfile.mkdtemp(prefix="goald-"))
    yield path
    shutil.rmtree(short_directory(path), ignore_errors=True)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with goald."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def _start_elsewhere(path: Path) -> tuple[subprocess.Popen[str], EmbeddedEndpoints]:
    """Start the services on `path` in another process, which keeps them running."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    while not (line := process.stdout.readline()).startswith("{"):
        assert line, "the other process ended before its services were ready"
    return process, EmbeddedEndpoints(**json.loads(line))


def _kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def _recorded(path: Path) -> list[int]:
    return [entry["pid"] for entry in json.loads((path / "run" / "processes.json").read_text())]


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _eventually(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _note(endpoints: EmbeddedEndpoints, word: str) -> None:
    with redis.Redis.from_url(endpoints.redis_url) as client:
        client.rpush("words", word)
    with psycopg.connect(endpoints.postgres_dsn) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS words (word text)")
        connection.execute("INSERT INTO words VALUES (%s)", (word,))


def _notes(endpoints: EmbeddedEndpoints) -> tuple[list[bytes], list[str]]:
    with redis.Redis.from_url(endpoints.redis_url) as client:
        in_redis = client.lrange("words", 0, -1)
    with psycopg.connect(endpoints.postgres_dsn) as connection:
        rows = connection.execute("SELECT word FROM words ORDER BY word").fetchall()
    assert isinstance(in_redis, list)
    return in_redis, [row[0] for row in rows]


def test_data_survives_a_stop_and_every_server_ends(place: Path) -> None:
    with DataDirectory.open(place) as data:
        with EmbeddedServices(data) as endpoints:
            _note(endpoints, "first")
            pids = _recorded(place)
            assert len(pids) == 2
        assert not any(_is_alive(pid) for pid in pids)
        assert _recorded(place) == []
        short = data.short
    assert not short.exists()

    with DataDirectory.open(place) as data, EmbeddedServices(data) as endpoints:
        assert _notes(endpoints) == ([b"first"], ["first"])


def test_data_survives_kill_9(place: Path) -> None:
    other, endpoints = _start_elsewhere(place)
    _note(endpoints, "before the kill")
    pids = _recorded(place)
    _kill(other)

    with DataDirectory.open(place) as data, EmbeddedServices(data) as restarted:
        assert not any(_is_alive(pid) for pid in pids)
        assert _notes(restarted) == ([b"before the kill"], ["before the kill"])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_kill_9_of_the_parent_ends_the_services(place: Path) -> None:
    other, _ = _start_elsewhere(place)
    pids = _recorded(place)
    _kill(other)
    assert _eventually(lambda: not any(_is_alive(pid) for pid in pids))


def test_killed_servers_restart_with_their_data(place: Path) -> None:
    other, endpoints = _start_elsewhere(place)
    _note(endpoints, "kept")
    for pid in _recorded(place):
        os.kill(pid, signal.SIGKILL)
    _kill(other)

    with DataDirectory.open(place) as data, EmbeddedServices(data) as restarted:
        assert _notes(restarted) == ([b"kept"], ["kept"])


def test_second_start_on_a_directory_names_the_process_that_uses_it(place: Path) -> None:
    other, _ = _start_elsewhere(place)
    try:
        with pytest.raises(StartError, match=rf"in use by another goald \(process {other.pid}\)"):
            DataDirectory.open(place)
        assert all(_is_alive(pid) for pid in _recorded(place))
    finally:
        _kill(other)


def test_process_that_reuses_a_recorded_id_is_not_killed(
    place: Path, bystander: subprocess.Popen[bytes]
) -> None:
    (place / "run").mkdir()
    record = [{"role": "redis", "pid": bystander.pid, "started": "earlier", "stop_signal": 9}]
    (place / "run" / "processes.json").write_text(json.dumps(record))
    with DataDirectory.open(place):
        assert bystander.poll() is None


def test_pid_file_with_the_id_of_another_process_does_not_block_postgres(
    place: Path, bystander: subprocess.Popen[bytes]
) -> None:
    with DataDirectory.open(place) as data:
        with EmbeddedServices(data):
            pass
        stale = [str(bystander.pid), str(place / "postgres"), "1", "5432", "", "", "", ""]
        (place / "postgres" / "postmaster.pid").write_text("\n".join(stale))
        with EmbeddedServices(data) as endpoints:
            _note(endpoints, "started")
        assert bystander.poll() is None


def test_a_data_directory_with_a_long_path_with_spaces_works(place: Path) -> None:
    deep = place.joinpath("a directory with spaces", *["n" * 50] * 4)
    with DataDirectory.open(deep) as data, EmbeddedServices(data) as endpoints:
        _note(endpoints, "deep")
        assert _notes(endpoints) == ([b"deep"], ["deep"])


async def test_dsn_works_with_asyncpg(endpoints: EmbeddedEndpoints) -> None:
    connection = await asyncpg.connect(endpoints.postgres_dsn)
    try:
        row = await connection.fetchrow(
            "SELECT current_user AS name, rolsuper FROM pg_roles WHERE rolname = current_user"
        )
        assert row is not None
        assert (row["name"], row["rolsuper"]) == ("goald", False)
    finally:
        await asyncio.wait_for(connection.close(), 10)


def test_daemon_role_creates_roles_and_switches_to_them(endpoints: EmbeddedEndpoints) -> None:
    with psycopg.connect(endpoints.postgres_dsn) as connection:
        connection.execute("CREATE ROLE created_by_goald")
        connection.execute("SET ROLE created_by_goald")
        row = connection.execute("SELECT current_user").fetchone()
        assert row == ("created_by_goald",)
        connection.rollback()


def test_files_of_another_postgres_version_are_refused_with_both_versions(place: Path) -> None:
    (place / "postgres").mkdir(mode=0o700)
    (place / "postgres" / "PG_VERSION").write_text("14\n")
    with DataDirectory.open(place) as data:
        with pytest.raises(StartError, match=r"Postgres 14, but this goald has Postgres 18"):
            EmbeddedServices(data).start()
        assert _recorded(place) == []


def test_a_data_directory_that_is_a_file_is_refused(place: Path) -> None:
    (place / "file").write_text("")
    with pytest.raises(StartError, match="Cannot use the data directory"):
        DataDirectory.open(place / "file")


def test_a_data_directory_that_cannot_be_created_is_refused() -> None:
    with pytest.raises(StartError, match="Cannot use the data directory"):
        DataDirectory.open(Path("/proc/goald"))


def test_failed_server_start_is_reported_with_the_end_of_its_log(place: Path) -> None:
    with DataDirectory.open(place) as data:
        with EmbeddedServices(data):
            pass
        manifest = place / "redis" / "appendonlydir" / "appendonly.aof.manifest"
        manifest.write_text("not a manifest\n")
        with pytest.raises(StartError, match=r"(?s)embedded redis ended.*redis\.log.*manifest"):
            EmbeddedServices(data).start()
        assert _recorded(place) == []


def test_sockets_in_a_directory_that_others_can_write_to_are_refused(place: Path) -> None:
    with DataDirectory.open(place) as data:
        short = data.short
    short.mkdir()
    short.chmod(0o777)
    try:
        with pytest.raises(StartError, match="only this user"):
            DataDirectory.open(place)
    finally:
        short.rmdir()
