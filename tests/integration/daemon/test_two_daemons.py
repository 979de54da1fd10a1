"""Two `goald serve` on one Redis and one Postgres: one is active, and the standby takes over
when the active one ends. They also show how goald with external services serves its API."""

import asyncio
import json
import signal
import socket
from collections.abc import Callable

import httpx
import psutil
import psycopg
import pytest
import redis
from tests.integration.daemon.test_serve_api import SCOPES, api_url, token
from tests.integration.daemon.test_serve_faults import WORKFLOWS
from tests.support.services.daemon import DEADLINE_S, Daemon, left_of
from tests.support.services.servers import Database

from goald.client import Exit, Publisher, event
from goald.redis_keys import EXITS

STANDBY = "standby: instance "


class SharedServers:
    """The servers of two daemons, and what can be observed on them."""

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
        """The epochs of all leases; each acquisition changes one."""
        with psycopg.connect(self._database.admin_dsn) as connection:
            rows = connection.execute("SELECT epoch FROM goald.leases ORDER BY 1").fetchall()
        return [epoch for (epoch,) in rows]

    def achieve_and_wait_for_exit(self, daemon: Daemon, contact: str) -> None:
        """Enroll a contact, achieve its goal, and wait for its exit."""

        async def send() -> None:
            ids = {"workflow_id": "w", "enrollment_id": f"e-{contact}"}
            async with Publisher(self._redis_url) as publisher:
                await publisher.publish(event("workflow.enrollment.started", "acme", contact, ids))
                tag = {"tag_name": "Customer"}
                await publisher.publish(event("contact.tag.added", "acme", contact, tag))

        asyncio.run(send())
        daemon.until("exit", lambda: contact in self.exits())

    def exits(self) -> set[str]:
        """The contacts that were exited. Asserts that each has one exit id."""
        with redis.Redis.from_url(self._redis_url) as client:
            found = [Exit.parse(entry[b"event"]) for _, entry in client.xrange(EXITS)]
        assert len({each.id for each in found}) == len({each.contact_id for each in found})
        return {each.contact_id for each in found}


@pytest.fixture
def servers(
    make_daemon: Callable[..., Daemon], redis_url: str, database: Database
) -> SharedServers:
    return SharedServers(make_daemon, redis_url, database)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def until_printed(daemon: Daemon, text: str, times: int = 1) -> None:
    daemon.until(text, lambda: daemon.printed().count(text) >= times)


def assert_runs_without_the_api(daemon: Daemon) -> None:
    """It has no key that could check tokens, and reports that."""
    (line,) = [line for line in daemon.printed().splitlines() if "API" in line]
    assert "GOALD_JWT_SECRET" in line
    assert "GOALD_JWKS_URL" in line
    assert json.loads(daemon.run("status", "--json").stdout)["api_url"] is None


def assert_commands_find_the_api(daemon: Daemon) -> None:
    bearer = {"authorization": f"Bearer {token(daemon, 'acme', *SCOPES)}"}
    response = httpx.get(f"{api_url(daemon)}/api/v1/workflows", headers=bearer, timeout=DEADLINE_S)
    assert response.status_code == 200


def family(daemon: Daemon) -> list[psutil.Process]:
    assert daemon.process is not None
    driver = psutil.Process(daemon.process.pid)
    return [driver, *driver.children(recursive=True)]


def test_a_standby_takes_over_from_a_killed_active_daemon(servers: SharedServers) -> None:
    port = free_port()
    first = servers.daemon()
    second = servers.daemon(
        shards="3", api_port=str(port), jwt_secret="a secret of the second daemon, 36 characters"
    )
    first.launch()
    until_printed(first, "goald is ready")
    first.apply(WORKFLOWS)
    servers.achieve_and_wait_for_exit(first, "ann")
    before = servers.epochs()

    second.launch()
    until_printed(second, STANDBY)
    answer = httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=DEADLINE_S)
    assert answer.status_code == 503
    assert STANDBY in answer.text
    servers.achieve_and_wait_for_exit(first, "bob")
    assert servers.epochs() == before, "the standby acquired a lease of the active daemon"

    dying = [each for each in family(first) if "Agent" not in each.name()]
    first.kill_driver()
    until_printed(second, "goald is ready")
    servers.achieve_and_wait_for_exit(second, "cid")
    assert left_of(dying) == []
    second.until(
        "readiness",
        lambda: httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=DEADLINE_S).is_success,
    )

    assert_commands_find_the_api(second)

    first.launch()
    until_printed(first, STANDBY)
    assert second.stop() == 0, second.printed()
    until_printed(first, "goald is ready")
    servers.achieve_and_wait_for_exit(first, "dan")
    assert first.stop() == 0, first.printed()
    assert servers.exits() == {"ann", "bob", "cid", "dan"}


def test_a_suspended_active_daemon_becomes_the_standby(servers: SharedServers) -> None:
    first, second = servers.daemon(), servers.daemon()
    first.launch()
    until_printed(first, "goald is ready")
    assert_runs_without_the_api(first)
    first.apply(WORKFLOWS)
    second.launch()
    until_printed(second, STANDBY)

    assert first.process is not None
    first.process.send_signal(signal.SIGSTOP)
    try:
        until_printed(second, "goald is ready")
        servers.achieve_and_wait_for_exit(second, "ann")
    finally:
        first.process.send_signal(signal.SIGCONT)
    until_printed(first, STANDBY)
    epochs = servers.epochs()
    servers.achieve_and_wait_for_exit(second, "bob")
    assert servers.epochs() == epochs

    assert second.stop() == 0, second.printed()
    servers.achieve_and_wait_for_exit(first, "cid")
    assert first.stop() == 0, first.printed()
    assert servers.exits() == {"ann", "bob", "cid"}
