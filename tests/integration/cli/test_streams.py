"""`goald streams`: show the event streams and change their number, with a running goald."""

import json
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis as blocking
from tests.support.services.commands import GOALD, Ran
from tests.support.services.daemon import Daemon

from goald.client import event
from goald.domain.streams import partition_of
from goald.redis_keys import NEXT_STREAMS, STREAM_COUNT, event_stream


@pytest.fixture
def at_redis(monkeypatch: pytest.MonkeyPatch, clean: None, redis_url: str) -> Iterator[Any]:
    """An empty Redis that commands connect to; Postgres is unreachable."""
    monkeypatch.setenv("GOALD_REDIS_URL", redis_url)
    monkeypatch.setenv("GOALD_POSTGRES_DSN", "postgresql://goald@127.0.0.1:1/none")
    with blocking.Redis.from_url(redis_url) as client:
        yield client


def test_the_number_changes_immediately_if_every_event_is_acknowledged(
    at_redis: Any, run: Callable[..., Ran]
) -> None:
    ran = run("streams", "set", "6")
    assert ran.code == 0
    assert "Changed the number of event streams from 4 to 6." in ran.out
    assert "GOALD_STREAMS=6" in ran.out
    assert at_redis.get(STREAM_COUNT) == b"6"
    assert run("streams", "set", "6", "--json").json == {"streams": 6, "before": 6}
    overview = run("streams", "--json").json
    assert (overview["count"], overview["changing_to"], len(overview["streams"])) == (6, None, 6)


def test_nothing_changes_if_an_event_remains_and_producers_continue(
    at_redis: Any, run: Callable[..., Ran]
) -> None:
    at_redis.xadd(event_stream(2), {"event": "e"})
    ran = run("streams", "set", "6", "--timeout", "0.3")
    assert ran.code == 3
    assert "nothing was changed" in ran.err
    assert "goald:events:2: 1" in ran.err
    assert at_redis.keys("goald:streams*") == []


def test_streams_that_goald_does_not_read_are_reported(
    at_redis: Any, run: Callable[..., Ran]
) -> None:
    at_redis.xadd(event_stream(7), {"event": "e"})
    ran = run("streams")
    assert ran.code == 0
    assert "4 event streams" in ran.out
    assert "goald does not read goald:events:7" in ran.err


@pytest.mark.parametrize("number", ["0", "257", "many"])
def test_an_invalid_number_is_a_usage_error(
    at_redis: Any, run: Callable[..., Ran], number: str
) -> None:
    assert run("streams", "set", number).code == 2
    assert at_redis.keys() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_change_has_no_effect_and_can_be_repeated(
    at_redis: Any, run: Callable[..., Ran], number: signal.Signals
) -> None:
    at_redis.xadd(event_stream(2), {"event": "e"})
    with subprocess.Popen([*GOALD, "streams", "set", "6"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b"1 entry is not acknowledged yet" in process.stdout.readline()
        assert at_redis.get(NEXT_STREAMS) == b"6"
        process.send_signal(number)
    if number is signal.SIGINT:
        assert process.returncode == 130
        assert at_redis.get(NEXT_STREAMS) is None
    assert at_redis.get(STREAM_COUNT) is None
    at_redis.delete(event_stream(2))
    assert run("streams", "set", "6").code == 0
    assert at_redis.keys("goald:streams*") == [STREAM_COUNT.encode()]


def test_an_event_sent_during_a_change_goes_to_its_new_stream(at_redis: Any) -> None:
    contact = next(f"c-{n}" for n in range(99) if partition_of("acme", f"c-{n}", 16) > 4)
    at_redis.set(NEXT_STREAMS, 16)
    words = ["send", "form.submitted", "--tenant", "acme", "--contact", contact, "--json"]
    with subprocess.Popen([*GOALD, *words], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while not at_redis.client_list():
            assert process.poll() is None
        _until_it_waits(at_redis, process)
        at_redis.set(STREAM_COUNT, 16)
        at_redis.delete(NEXT_STREAMS)
        sent = json.loads(process.stdout.read())
    assert sent["stream"] == event_stream(partition_of("acme", contact, 16))
    assert at_redis.xrange(sent["stream"], sent["entry"], sent["entry"])


def _until_it_waits(client: Any, process: "subprocess.Popen[bytes]") -> None:
    """Wait until the publisher of the process waits for the change."""

    def asked() -> int:
        return int(client.info("commandstats").get("cmdstat_eval", {}).get("calls", 0))

    before = asked()
    while asked() < before + 2:
        assert process.poll() is None


# A running goald -------------------------------------------------------------------------

WORKFLOWS = """
tenant: acme
workflows:
  - id: upsell
    active: true
    goals:
      - {goal_type: purchase_made, criteria: {any_purchase: true}}
"""


def metrics_of(daemon: Daemon) -> str:
    url = json.loads(daemon.run("status", "--json").stdout)["metrics_url"]
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - a local address
        return str(answer.read().decode())


def test_a_running_goald_exits_and_uses_the_new_number_when_it_restarts(
    make_daemon: Callable[..., Daemon],
) -> None:
    daemon = make_daemon(keep="0")
    daemon.start()
    daemon.apply(WORKFLOWS)
    contacts = [f"c-{n}" for n in range(200)]
    enrolled = [{"workflow_id": "upsell", "enrollment_id": f"e-{c}"} for c in contacts]
    daemon.publish(
        *(
            event("workflow.enrollment.started", "acme", contact, data)
            for contact, data in zip(contacts, enrolled, strict=True)
        )
    )
    with daemon.redis() as client:
        oldest = client.xrange(event_stream(0), "-", "+", 1)
    ran = daemon.run("streams", "set", "7", "--json")
    assert json.loads(ran.stdout) == {"streams": 7, "before": 4}, ran.stderr
    assert daemon.wait() == 1
    assert "number of event streams changed from 4 to 7" in daemon.printed()
    daemon.start()
    daemon.publish(*(event("payment.completed", "acme", c, {"amount": "1"}) for c in contacts))
    daemon.until_lag_zero()
    with daemon.redis() as client:
        first = event_stream(0)
        daemon.until("trimmed stream", lambda: client.xrange(first, "-", "+", 1) != oldest)
    daemon.until("its count", lambda: "goald_stream_trimmed_total{" in metrics_of(daemon))
    assert {exit_.contact_id for exit_ in daemon.exits("acme")} == set(contacts)
    overview = json.loads(daemon.run("streams", "--json").stdout)
    assert overview["count"] == 7
    assert all(each["length"] and not each["lag"] for each in overview["streams"])
