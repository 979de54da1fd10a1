"""The HTTP API as `goald serve` and `goald api` run it: where it is, how it starts and ends."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest
from tests.support.api.client import Api
from tests.support.services.daemon import DEADLINE_S, Daemon
from tests.support.services.servers import Database

from goald.client import event

GOALD = [sys.executable, "-m", "goald.cli.main"]
SECRET = "a secret of thirty-two characters"
API_STOP_S = 10.0
EVENTS = "events:write"
SCOPES = ("workflows:read", "workflows:edit", EVENTS)


def api_url(daemon: Daemon) -> str:
    return str(json.loads(daemon.run("status", "--json").stdout)["api_url"])


def token(daemon: Daemon, tenant: str, *scopes: str) -> str:
    ran = daemon.run("token", "--tenant", tenant, "--scope", " ".join(scopes))
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def tag_goal(name: str) -> dict[str, Any]:
    return {"goal_type": "tag_added", "criteria": {"tag_name": name}}


class ApiProcess:
    """A `goald api` with these settings, as a process of its own."""

    def __init__(self, directory: Path, settings: Mapping[str, str]) -> None:
        kept = {name: value for name, value in os.environ.items() if "GOALD_" not in name.upper()}
        own = {f"GOALD_{name.upper()}": value for name, value in settings.items()}
        self._output = directory / "printed"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [*GOALD, "api"],
                env=kept | own,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def printed(self) -> str:
        return self._output.read_text()

    def url(self) -> str:
        """Where it takes requests, once it does."""
        deadline = time.monotonic() + DEADLINE_S
        while "takes requests at " not in self.printed:
            assert self.process.poll() is None, self.printed
            assert time.monotonic() < deadline, self.printed
            time.sleep(0.05)
        return self.printed.split("takes requests at ")[1].split(";")[0]

    def end(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE_S)


@pytest.fixture
def start_api(
    tmp_path: Path, redis_url: str, database: Database
) -> Iterator[Callable[..., ApiProcess]]:
    """Starts `goald api` over the test's services. Killed after the test."""
    started: list[ApiProcess] = []

    def start(**settings: str) -> ApiProcess:
        services = {"redis_url": redis_url, "postgres_dsn": database.dsn, "api_port": "0"}
        started.append(ApiProcess(tmp_path, services | settings))
        return started[-1]

    yield start
    for each in started:
        each.end()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Where connections are made, and nothing is ever answered."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield int(listening.getsockname()[1])


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield int(listening.getsockname()[1])


class SlowPost:
    """A request that has begun: its head is sent, its body is not."""

    def __init__(self, url: str, token: str, body: bytes) -> None:
        where = urlsplit(url)
        self._body = body
        self._connection = socket.create_connection((where.hostname, where.port), DEADLINE_S)
        self._connection.sendall(
            b"POST /api/v1/events HTTP/1.1\r\nhost: goald\r\ncontent-type: application/json\r\n"
            b"authorization: Bearer %s\r\ncontent-length: %d\r\n\r\n"
            % (token.encode(), len(body))
            + body[:1]
        )

    def finish(self) -> bytes:
        """Send the rest; the whole answer."""
        with self._connection:
            self._connection.sendall(self._body[1:])
            answer = b""
            while part := self._connection.recv(65_536):
                answer += part
        return answer


def refuses_connections(url: str) -> bool:
    where = urlsplit(url)
    try:
        socket.create_connection((where.hostname, where.port), DEADLINE_S).close()
    except ConnectionError:
        return True
    return False


def test_it_tells_where_its_api_is_and_takes_the_tokens_that_it_makes(
    daemon: Daemon, tenant: str
) -> None:
    with httpx.Client(base_url=api_url(daemon), timeout=DEADLINE_S) as client:
        assert client.get("/readyz").status_code == 200
        sent = event("contact.tag.added", tenant, "c-1", {"tag_name": "Customer"})
        refused = client.post("/api/v1/events", json=sent)
        assert refused.status_code == 401
        reading = {"authorization": f"Bearer {token(daemon, tenant, 'workflows:read')}"}
        assert client.post("/api/v1/events", json=sent, headers=reading).status_code == 403
        writing = {"authorization": f"Bearer {token(daemon, tenant, EVENTS)}"}
        assert client.post("/api/v1/events", json=sent, headers=writing).status_code == 202
    daemon.until_lag_zero()
    assert f"{api_url(daemon)}/docs" in daemon.printed()


def test_a_change_over_http_counts_in_every_shard_once_it_is_answered(
    daemon: Daemon, tenant: str
) -> None:
    contacts = [f"c-{number}" for number in range(20)]  # of both shards, all but surely
    bearer = {"authorization": f"Bearer {token(daemon, tenant, *SCOPES)}"}
    path = "/api/v1/workflows/w"
    with httpx.Client(base_url=api_url(daemon), headers=bearer, timeout=DEADLINE_S) as client:

        def call(method: str, path: str, status: int, body: Any = None) -> Any:
            answer = client.request(method, path, json=body)
            assert answer.status_code == status, answer.text
            return answer.json()

        def tag(name: str) -> None:
            sent = [event("contact.tag.added", tenant, c, {"tag_name": name}) for c in contacts]
            assert call("POST", "/api/v1/events", 202, sent)["accepted"] == len(contacts)

        def left() -> int:
            return len({each.contact_id for each in daemon.exits(tenant)})

        call("PUT", path, 201, {"name": "W", "goal_logic": "any"})
        goal = call("POST", f"{path}/goals", 201, tag_goal("Prospect"))
        call("POST", f"{path}/activate", 200)
        for contact in contacts:
            started = {"enrollment_id": f"e-{contact}", "contact_id": contact}
            call("POST", f"{path}/enrollments", 202, started)
        call("PATCH", f"{path}/goals/{goal['id']}", 200, {"criteria": {"tag_name": "Customer"}})
        tag("Prospect")
        daemon.until_lag_zero()
        assert left() == 0
        call("POST", f"{path}/goals", 201, tag_goal("Lead"))
        tag("Lead")
        daemon.until("every exit", lambda: left() == len(contacts))


def test_the_secret_of_an_embedded_goald_is_its_owners_alone(daemon: Daemon) -> None:
    kept = daemon.data_dir / "token-secret"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert len(kept.read_text()) >= 43
    assert kept.read_text() not in daemon.printed()


def test_the_api_serves_the_metrics_of_the_whole_instance(daemon: Daemon) -> None:
    def served(url: str) -> set[str]:
        lines = httpx.get(url, timeout=DEADLINE_S).text.splitlines()
        return {line.split(" ")[2] for line in lines if line.startswith("# TYPE")}

    metrics_url = json.loads(daemon.run("status", "--json").stdout)["metrics_url"]
    assert served(f"{api_url(daemon)}/metrics") == served(metrics_url)
    assert {"goald_ready", "goald_exits_total", "goald_api_requests_total"} <= served(metrics_url)


def test_a_request_under_way_is_answered_before_it_ends_and_its_event_is_kept(
    make_daemon: Callable[..., Daemon],
) -> None:
    daemon = make_daemon()
    daemon.start()
    url = api_url(daemon)
    started = event(
        "workflow.enrollment.started", "acme", "c-1", {"workflow_id": "w", "enrollment_id": "e-1"}
    )
    begun = SlowPost(url, token(daemon, "acme", EVENTS), json.dumps(started).encode())
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGTERM)
    daemon.until("end of listening", lambda: refuses_connections(url))
    assert begun.finish().startswith(b"HTTP/1.1 202 ")
    assert daemon.wait() == 0, daemon.printed()
    daemon.start()
    daemon.until_lag_zero()
    assert daemon.sql("SELECT id FROM goald.workflow_enrollments") == [("e-1",)]
    assert daemon.stop() == 0


def test_a_taken_port_for_the_api_is_refused(
    make_daemon: Callable[..., Daemon], taken_port: int
) -> None:
    daemon = make_daemon(api_port=str(taken_port))
    daemon.launch()
    assert daemon.wait() == 1
    (line,) = [line for line in daemon.printed().splitlines() if line.startswith("goald: ")]
    assert f"127.0.0.1:{taken_port}: the port is in use" in line
    assert "GOALD_API_PORT" in line


def test_without_a_way_to_check_tokens_it_runs_without_the_api_and_says_so(
    make_daemon: Callable[..., Daemon], redis_url: str, database: Database
) -> None:
    daemon = make_daemon(
        embedded=False, redis_url=redis_url, postgres_dsn=database.dsn, metrics_port="0"
    )
    daemon.launch()
    daemon.until("readiness", lambda: "goald is ready" in daemon.printed())
    (line,) = [line for line in daemon.printed().splitlines() if "API" in line]
    assert "GOALD_JWT_SECRET" in line
    assert "GOALD_JWKS_URL" in line
    assert json.loads(daemon.run("status", "--json").stdout)["api_url"] is None
    assert daemon.stop() == 0


def test_commands_find_the_api_of_a_goald_that_has_services_of_its_own(
    make_daemon: Callable[..., Daemon], redis_url: str, database: Database
) -> None:
    daemon = make_daemon(
        embedded=False,
        redis_url=redis_url,
        postgres_dsn=database.dsn,
        metrics_port="0",
        api_port="0",
        jwt_secret=SECRET,
    )
    daemon.launch()
    daemon.until("readiness", lambda: "goald is ready" in daemon.printed())
    bearer = {"authorization": f"Bearer {token(daemon, 'acme', *SCOPES)}"}
    answer = httpx.get(f"{api_url(daemon)}/api/v1/workflows", headers=bearer, timeout=DEADLINE_S)
    assert answer.status_code == 200
    assert daemon.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_api_alone_ends_on_a_signal_once_it_has_answered(
    start_api: Callable[..., ApiProcess], number: signal.Signals
) -> None:
    api = start_api(jwt_secret=SECRET)
    url = api.url()
    claims = {"sub": "a", "tenant_id": "acme", "scope": EVENTS, "iss": "goald", "aud": "goald"}
    signed = jwt.encode(claims | {"exp": time.time() + 600}, SECRET, algorithm="HS256")
    sent = event("contact.tag.added", "acme", "c-1", {"tag_name": "Customer"})
    idle = httpx.Client(base_url=url, timeout=DEADLINE_S)
    assert idle.get("/readyz").status_code == 200
    begun = SlowPost(url, signed, json.dumps(sent).encode())
    api.process.send_signal(number)
    deadline = time.monotonic() + DEADLINE_S
    while not refuses_connections(url):
        assert time.monotonic() < deadline
    assert begun.finish().startswith(b"HTTP/1.1 202 ")
    assert api.process.wait(API_STOP_S) == 0, api.printed
    idle.close()
    assert "Traceback" not in api.printed


def test_a_request_that_does_not_end_does_not_keep_the_api_from_ending(
    start_api: Callable[..., ApiProcess],
) -> None:
    api = start_api(jwt_secret=SECRET)
    claims = {"sub": "a", "tenant_id": "acme", "scope": EVENTS, "iss": "goald", "aud": "goald"}
    signed = jwt.encode(claims | {"exp": time.time() + 600}, SECRET, algorithm="HS256")
    begun = SlowPost(api.url(), signed, b"{}")
    api.process.send_signal(signal.SIGTERM)
    assert api.process.wait(API_STOP_S) == 0, api.printed
    begun.finish()


def test_the_api_alone_needs_a_way_to_check_tokens(start_api: Callable[..., ApiProcess]) -> None:
    api = start_api()
    assert api.process.wait(DEADLINE_S) == 2
    assert "GOALD_JWT_SECRET" in api.printed
    assert "GOALD_JWKS_URL" in api.printed


def test_the_api_alone_needs_a_schema_that_is_migrated(
    tmp_path: Path, redis_url: str, empty_database: Database
) -> None:
    api = ApiProcess(
        tmp_path,
        {
            "redis_url": redis_url,
            "postgres_dsn": empty_database.dsn,
            "api_port": "0",
            "jwt_secret": SECRET,
        },
    )
    assert api.process.wait(DEADLINE_S) == 1
    assert "goald migrate" in api.printed


def test_services_that_hang_are_told_and_neither_hang_it_nor_its_end(
    make_api: Callable[..., Api], silent_port: int
) -> None:
    api = make_api(
        redis_url=f"redis://127.0.0.1:{silent_port}",
        postgres_dsn=f"postgresql://goald@127.0.0.1:{silent_port}/goald",
    )
    answer = api.anonymous().get("/readyz")
    assert answer.status_code == 503
    assert len(answer.json()["reasons"]) == 2
    assert str(silent_port) not in answer.text


def test_services_that_are_away_are_named_without_where_they_are(
    make_api: Callable[..., Api],
) -> None:
    api = make_api(
        redis_url="redis://secret-name:1@127.0.0.1:1",
        postgres_dsn="postgresql://secret-name@127.0.0.1:1/goald",
    )
    answer = api.anonymous().get("/readyz")
    assert answer.json()["reasons"] == ["Postgres is unavailable", "Redis is unavailable"]
    assert "secret-name" not in answer.text
