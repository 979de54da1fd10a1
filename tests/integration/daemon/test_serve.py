"""How `goald serve` starts, refuses to start, and ends."""

import contextlib
import signal
import socket
import time
from collections.abc import Callable, Iterator

import psutil
import pytest
import redis
from tests.support.services.daemon import DEADLINE_S, Daemon, left_of
from tests.support.services.servers import Database

from goald.client import event
from goald.redis_keys import STREAM_COUNT

CONTACTS = 20_000


def refused(daemon: Daemon) -> str:
    """A start that fails: what it printed. No process is left of it."""
    daemon.launch()
    assert daemon.process is not None
    seen: dict[int, psutil.Process] = {}
    deadline = time.monotonic() + DEADLINE_S
    while daemon.process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(daemon.process.pid).children(recursive=True)
            seen |= {each.pid: each for each in children}
        assert "goald is ready" not in daemon.printed(), "it was not refused"
        time.sleep(0.1)
    assert daemon.wait() == 1, daemon.printed()
    assert left_of(list(seen.values())) == []
    return daemon.printed()


def stopped_by(number: signal.Signals, daemon: Daemon) -> None:
    """The signal ends it well, with all its processes, and commands find it no more."""
    family = daemon.family()
    assert len(family) > 6
    assert daemon.stop(number) == 0, daemon.printed()
    assert left_of(family) == []
    assert "no goald is running" in daemon.run("status").stderr


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield int(listening.getsockname()[1])


def test_a_signal_in_the_midst_of_events_ends_it_and_loses_none(
    make_daemon: Callable[..., Daemon],
) -> None:
    daemon = make_daemon()
    daemon.start()
    started = [
        event(
            "workflow.enrollment.started",
            "acme",
            f"c-{number}",
            {"workflow_id": "w", "enrollment_id": f"e-{number}"},
        )
        for number in range(CONTACTS)
    ]

    def recorded() -> int:
        ((count,),) = daemon.sql("SELECT count(*) FROM goald.workflow_enrollments")
        return int(count)

    daemon.publish(*started)
    daemon.until("first enrollments", recorded)
    stopped_by(signal.SIGTERM, daemon)
    daemon.start()
    daemon.until_lag_zero()
    assert recorded() == CONTACTS
    stopped_by(signal.SIGINT, daemon)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_start_ends_it_well(
    make_daemon: Callable[..., Daemon], number: signal.Signals
) -> None:
    daemon = make_daemon()
    daemon.launch()
    daemon.until("first service", lambda: "migrating the schema" in daemon.printed())
    assert daemon.process is not None
    family = psutil.Process(daemon.process.pid).children(recursive=True)
    assert family
    assert daemon.stop(number) == 0, daemon.printed()
    assert left_of(family) == []


def test_a_taken_port_for_metrics_is_refused(
    make_daemon: Callable[..., Daemon], taken_port: int
) -> None:
    said = refused(make_daemon(metrics_port=str(taken_port)))
    assert f"another program listens on 127.0.0.1:{taken_port}" in said
    assert "GOALD_METRICS_PORT" in said


def test_another_number_of_streams_than_redis_holds_is_refused(
    make_daemon: Callable[..., Daemon], redis_url: str, database: Database
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set(STREAM_COUNT, 4)
        said = refused(
            make_daemon(
                embedded=False,
                redis_url=redis_url,
                postgres_dsn=database.dsn,
                streams="8",
                metrics_port="0",
            )
        )
        assert "GOALD_STREAMS is 8, but Redis holds 4 event streams" in said
        assert "set GOALD_STREAMS=4" in said
        assert client.get(STREAM_COUNT) == b"4"


def test_a_second_goald_on_the_same_data_directory_is_refused(daemon: Daemon) -> None:
    assert daemon.process is not None
    ran = daemon.run("serve", "--embedded")
    assert ran.returncode == 1
    assert f"in use by another goald (process {daemon.process.pid})" in ran.stderr
    assert "--data-dir" in ran.stderr
    assert daemon.is_ready()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"streams": "many"}, "GOALD_STREAMS"),
        ({"shards": "0"}, "GOALD_SHARDS"),
        ({"metrics_port": "99999"}, "GOALD_METRICS_PORT"),
        ({"shardz": "2"}, "GOALD_SHARDZ"),
        ({"log_level": "loud"}, "GOALD_LOG_LEVEL"),
    ],
)
def test_a_wrong_setting_ends_the_start_before_anything_is_made(
    make_daemon: Callable[..., Daemon], settings: dict[str, str], named: str
) -> None:
    daemon = make_daemon(**settings)
    daemon.launch()
    assert daemon.wait() == 2
    (line,) = daemon.printed().splitlines()
    assert line.startswith("goald: ")
    assert named in line
    assert list(daemon.data_dir.iterdir()) == []


def test_without_services_it_names_the_setting_that_is_missing(
    make_daemon: Callable[..., Daemon],
) -> None:
    ran = make_daemon().run("serve")
    assert ran.returncode == 2
    assert "GOALD_REDIS_URL" in ran.stderr
    assert "--embedded" in ran.stderr
