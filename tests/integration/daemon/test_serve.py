"""`goald serve` starts, refuses to start with a reason, and stops in order."""

import contextlib
import json
import signal
import socket
import time
from collections.abc import Callable, Iterator

import psutil
import pytest
import redis
from tests.integration.daemon.test_serve_api import (
    EVENTS,
    SlowPost,
    api_url,
    refuses_connections,
    token,
)
from tests.support.services.daemon import DEADLINE_S, Daemon, left_of
from tests.support.services.servers import Database

from goald.client import event
from goald.redis_keys import STREAM_COUNT

CONTACTS = 20_000


def output_of_failed_start(daemon: Daemon) -> str:
    """Start the daemon, which must fail and leave no process. Returns its output."""
    daemon.launch()
    assert daemon.process is not None
    seen: dict[int, psutil.Process] = {}
    deadline = time.monotonic() + DEADLINE_S
    while daemon.process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(daemon.process.pid).children(recursive=True)
            seen |= {each.pid: each for each in children}
        assert "goald is ready" not in daemon.printed(), "it started"
        time.sleep(0.1)
    assert daemon.wait() == 1, daemon.printed()
    assert left_of(list(seen.values())) == []
    return daemon.printed()


def assert_ended(code: int, daemon: Daemon, family: list[psutil.Process]) -> None:
    """The daemon ended with exit code 0 and all its processes, and commands no longer find it."""
    assert code == 0, daemon.printed()
    assert len(family) > 6
    assert left_of(family) == []
    assert "No goald is running" in daemon.run("status").stderr


@pytest.fixture
def port_in_use() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def test_a_signal_while_events_arrive_loses_no_event(
    make_daemon: Callable[..., Daemon],
) -> None:
    """Neither of those in a stream nor of a request in flight, which gets its response."""
    daemon = make_daemon()
    daemon.start()
    # The API may refuse more events of a tenant whose events wait, so the request is of another.
    url, writing = api_url(daemon), token(daemon, "globex", EVENTS)
    started = [
        event(
            "workflow.enrollment.started",
            "acme" if number < CONTACTS - 1 else "globex",
            f"c-{number}",
            {"workflow_id": "w", "enrollment_id": f"e-{number}"},
        )
        for number in range(CONTACTS)
    ]

    def recorded() -> int:
        ((count,),) = daemon.sql("SELECT count(*) FROM goald.workflow_enrollments")
        return int(count)

    *in_stream, in_request = started
    daemon.publish(*in_stream)
    daemon.until("first enrollments", recorded)
    family = daemon.family()
    request = SlowPost(url, writing, json.dumps(in_request).encode())
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGTERM)
    daemon.until("closed listen socket", lambda: refuses_connections(url))
    assert request.finish().startswith(b"HTTP/1.1 202 ")
    assert_ended(daemon.wait(), daemon, family)
    daemon.start()
    daemon.until_lag_zero()
    assert recorded() == CONTACTS
    family = daemon.family()
    assert_ended(daemon.stop(signal.SIGINT), daemon, family)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_start_ends_it_in_order(
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


def test_a_port_in_use_for_metrics_is_refused(
    make_daemon: Callable[..., Daemon], port_in_use: int
) -> None:
    output = output_of_failed_start(make_daemon(metrics_port=str(port_in_use)))
    assert f"127.0.0.1:{port_in_use}: the port is in use" in output
    assert "GOALD_METRICS_PORT" in output


def test_a_stream_count_that_differs_from_the_stored_one_ends_the_start(
    make_daemon: Callable[..., Daemon], redis_url: str, database: Database
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set(STREAM_COUNT, 4)
        output = output_of_failed_start(
            make_daemon(
                embedded=False,
                redis_url=redis_url,
                postgres_dsn=database.dsn,
                streams="8",
                metrics_port="0",
            )
        )
        assert "GOALD_STREAMS is 8, but Redis holds 4 event streams" in output
        assert "set GOALD_STREAMS=4" in output
        assert client.get(STREAM_COUNT) == b"4"


@pytest.mark.parametrize(
    ("settings", "variable"),
    [
        ({"streams": "many"}, "GOALD_STREAMS"),
        ({"shards": "0"}, "GOALD_SHARDS"),
        ({"metrics_port": "99999"}, "GOALD_METRICS_PORT"),
        ({"shardz": "2"}, "GOALD_SHARDZ"),
        ({"log_level": "loud"}, "GOALD_LOG_LEVEL"),
    ],
)
def test_a_wrong_setting_ends_the_start_before_anything_is_created(
    make_daemon: Callable[..., Daemon], settings: dict[str, str], variable: str
) -> None:
    daemon = make_daemon(**settings)
    daemon.launch()
    assert daemon.wait() == 2
    (line,) = daemon.printed().splitlines()
    assert line.startswith("goald: ")
    assert variable in line
    assert list(daemon.data_dir.iterdir()) == []


def test_a_missing_redis_url_is_named(
    make_daemon: Callable[..., Daemon],
) -> None:
    ran = make_daemon().run("serve")
    assert ran.returncode == 2
    assert "GOALD_REDIS_URL" in ran.stderr
    assert "--embedded" in ran.stderr


def test_an_unreachable_redis_is_named_with_host_port_and_cause(
    make_daemon: Callable[..., Daemon], database: Database
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    daemon = make_daemon(
        embedded=False,
        redis_url=f"redis://user:secret@{address}/0",
        postgres_dsn=database.dsn,
        metrics_port="0",
    )
    ran = daemon.run("serve")
    assert ran.returncode != 0
    assert f"Cannot connect to Redis at {address}: connection refused." in ran.stderr
    assert "GOALD_REDIS_URL" in ran.stderr
    assert "secret" not in ran.stderr
