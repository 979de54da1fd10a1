"""Two `goald serve` on one Redis and one Postgres: one acts, the other takes over when it must."""

import asyncio
import signal
import socket
from collections.abc import Callable

import httpx
import psutil
import psycopg
import pytest
import redis
from tests.integration.daemon.test_serve_faults import WORKFLOWS
from tests.support.services.daemon import DEADLINE_S, Daemon, left_of
from tests.support.services.servers import Database

from goald.client import Exit, Publisher, event
from goald.redis_keys import EXITS

STANDS_BY = "another goald acts, and this one stands by"


class Pair:
    """What two daemons share, and what they are seen to do."""

    def __init__(
        self, make_daemon: Callable[..., Daemon], redis_url: str, database: Database
    ) -> None:
        self._redis_url = redis_url
        self._database = database
        self._make = make_daemon

    def daemon(self, **settings: str) -> Daemon:
        own = {"metrics_port": "0", "redis_url": self._redis_url}
        return self._make(embedded=False, postgres_dsn=self._database.dsn, **own, **settings)

    def epochs(self) -> list[int]:
        """Of all leases: another for each that was taken."""
        with psycopg.connect(self._database.admin_dsn) as connection:
            rows = connection.execute("SELECT epoch FROM goald.leases ORDER BY 1").fetchall()
        return [epoch for (epoch,) in rows]

    def exit_comes(self, daemon: Daemon, contact: str) -> None:
        """A contact enrolls, meets its goal, and is told to leave."""

        async def send() -> None:
            ids = {"workflow_id": "w", "enrollment_id": f"e-{contact}"}
            async with Publisher(self._redis_url) as publisher:
                await publisher.publish(event("workflow.enrollment.started", "acme", contact, ids))
                tag = {"tag_name": "Customer"}
                await publisher.publish(event("contact.tag.added", "acme", contact, tag))

        asyncio.run(send())
        daemon.until("exit", lambda: contact in self.exits())

    def exits(self) -> set[str]:
        """Whose enrollments were ended: each once, however often that was told."""
        with redis.Redis.from_url(self._redis_url) as client:
            found = [Exit.parse(entry[b"event"]) for _, entry in client.xrange(EXITS)]
        assert len({each.id for each in found}) == len({each.contact_id for each in found})
        return {each.contact_id for each in found}


@pytest.fixture
def pair(make_daemon: Callable[..., Daemon], redis_url: str, database: Database) -> Pair:
    return Pair(make_daemon, redis_url, database)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def until_printed(daemon: Daemon, text: str, times: int = 1) -> None:
    daemon.until(text, lambda: daemon.printed().count(text) >= times)


def family(daemon: Daemon) -> list[psutil.Process]:
    assert daemon.process is not None
    driver = psutil.Process(daemon.process.pid)
    return [driver, *driver.children(recursive=True)]


def test_a_second_daemon_stands_by_and_takes_over_from_one_that_was_killed(pair: Pair) -> None:
    port = free_port()
    first = pair.daemon()
    second = pair.daemon(shards="3", api_port=str(port), jwt_secret="s" * 32)
    first.launch()
    until_printed(first, "goald is ready")
    first.apply(WORKFLOWS)
    pair.exit_comes(first, "ann")
    before = pair.epochs()

    second.launch()
    until_printed(second, STANDS_BY)
    answer = httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=DEADLINE_S)
    assert answer.status_code == 503
    assert STANDS_BY in answer.text
    pair.exit_comes(first, "bob")
    assert pair.epochs() == before, "it took something from the one that acts"

    dying = [each for each in family(first) if "Agent" not in each.name()]  # these take a minute
    first.kill_driver()
    until_printed(second, "goald is ready")
    pair.exit_comes(second, "cid")
    assert left_of(dying) == []
    second.until(
        "readiness",
        lambda: httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=DEADLINE_S).is_success,
    )

    first.launch()
    until_printed(first, STANDS_BY)
    assert second.stop() == 0, second.printed()
    until_printed(first, "goald is ready")
    pair.exit_comes(first, "dan")
    assert first.stop() == 0, first.printed()
    assert pair.exits() == {"ann", "bob", "cid", "dan"}


def test_one_that_was_stopped_until_it_was_replaced_stands_by(pair: Pair) -> None:
    first, second = pair.daemon(), pair.daemon()
    first.launch()
    until_printed(first, "goald is ready")
    first.apply(WORKFLOWS)
    second.launch()
    until_printed(second, STANDS_BY)

    assert first.process is not None
    first.process.send_signal(signal.SIGSTOP)
    try:
        until_printed(second, "goald is ready")
        pair.exit_comes(second, "ann")
    finally:
        first.process.send_signal(signal.SIGCONT)
    until_printed(first, STANDS_BY)
    current = pair.epochs()
    pair.exit_comes(second, "bob")
    assert pair.epochs() == current

    assert second.stop() == 0, second.printed()
    pair.exit_comes(first, "cid")
    assert first.stop() == 0, first.printed()
    assert pair.exits() == {"ann", "bob", "cid"}
