"""The HTTP API of `goald serve` and `goald api`: its address, start and stop."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
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
    result = daemon.run("token", "--tenant", tenant, "--scope", " ".join(scopes))
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


class ApiProcess:
    """A process that runs `goald api` with these settings."""

    def __init__(self, directory: Path, settings: Mapping[str, str]) -> None:
        inherited = {
            name: value for name, value in os.environ.items() if "GOALD_" not in name.upper()
        }
        own = {f"GOALD_{name.upper()}": value for name, value in settings.items()}
        self._output = directory / "printed"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [*GOALD, "api"],
                env=inherited | own,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def printed(self) -> str:
        return self._output.read_text()

    def url(self) -> str:
        """The URL of the API. Waits until the process prints it."""
        deadline = time.monotonic() + DEADLINE_S
        while "API is ready at " not in self.printed:
            assert self.process.poll() is None, self.printed
            assert time.monotonic() < deadline, self.printed
            time.sleep(0.05)
        return self.printed.split("API is ready at ")[1].split(". ")[0]

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
    """A port that accepts connections and never sends anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.fixture
def used_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


class SlowPost:
    """A request whose head is sent and whose body is not complete."""

    def __init__(self, url: str, token: str, body: bytes) -> None:
        address = urlsplit(url)
        self._body = body
        self._connection = socket.create_connection((address.hostname, address.port), DEADLINE_S)
        self._connection.sendall(
            b"POST /api/v1/events HTTP/1.1\r\nhost: goald\r\ncontent-type: application/json\r\n"
            b"authorization: Bearer %s\r\ncontent-length: %d\r\n\r\n"
            % (token.encode(), len(body))
            + body[:1]
        )

    def finish(self) -> bytes:
        """Send the rest of the body. Returns the whole response."""
        with self._connection:
            self._connection.sendall(self._body[1:])
            response = b""
            while chunk := self._connection.recv(65_536):
                response += chunk
        return response


def refuses_connections(url: str) -> bool:
    address = urlsplit(url)
    try:
        socket.create_connection((address.hostname, address.port), DEADLINE_S).close()
    except ConnectionError:
        return True
    return False


def test_api_port_in_use_ends_the_start(make_daemon: Callable[..., Daemon], used_port: int) -> None:
    daemon = make_daemon(api_port=str(used_port))
    daemon.launch()
    assert daemon.wait() == 1
    (line,) = [line for line in daemon.printed().splitlines() if line.startswith("goald: ")]
    assert f"127.0.0.1:{used_port}: the port is in use" in line
    assert "GOALD_API_PORT" in line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_goald_api_stops_on_a_signal_after_its_last_response(
    start_api: Callable[..., ApiProcess], number: signal.Signals
) -> None:
    api = start_api(jwt_secret=SECRET)
    url = api.url()
    claims = {"sub": "a", "tenant_id": "acme", "scope": EVENTS, "iss": "goald", "aud": "goald"}
    signed = jwt.encode(claims | {"exp": time.time() + 600}, SECRET, algorithm="HS256")
    sent = event("contact.tag.added", "acme", "c-1", {"tag_name": "Customer"})
    idle = httpx.Client(base_url=url, timeout=DEADLINE_S)
    assert idle.get("/readyz").status_code == 200
    request = SlowPost(url, signed, json.dumps(sent).encode())
    api.process.send_signal(number)
    deadline = time.monotonic() + DEADLINE_S
    while not refuses_connections(url):
        assert time.monotonic() < deadline
    assert request.finish().startswith(b"HTTP/1.1 202 ")
    assert api.process.wait(API_STOP_S) == 0, api.printed
    idle.close()
    assert "Traceback" not in api.printed


def test_incomplete_request_does_not_block_the_stop_of_goald_api(
    start_api: Callable[..., ApiProcess],
) -> None:
    api = start_api(jwt_secret=SECRET)
    claims = {"sub": "a", "tenant_id": "acme", "scope": EVENTS, "iss": "goald", "aud": "goald"}
    signed = jwt.encode(claims | {"exp": time.time() + 600}, SECRET, algorithm="HS256")
    request = SlowPost(api.url(), signed, b"{}")
    api.process.send_signal(signal.SIGTERM)
    assert api.process.wait(API_STOP_S) == 0, api.printed
    request.finish()


def test_goald_api_requires_keys_for_tokens(start_api: Callable[..., ApiProcess]) -> None:
    api = start_api()
    assert api.process.wait(DEADLINE_S) == 2
    assert "GOALD_JWT_SECRET" in api.printed
    assert "GOALD_JWKS_URL" in api.printed


def test_goald_api_requires_a_migrated_schema(
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


def test_unresponsive_services_are_reported_and_block_neither_readyz_nor_the_stop(
    make_api: Callable[..., Api], silent_port: int
) -> None:
    api = make_api(
        redis_url=f"redis://127.0.0.1:{silent_port}",
        postgres_dsn=f"postgresql://goald@127.0.0.1:{silent_port}/goald",
    )
    response = api.anonymous().get("/readyz")
    assert response.status_code == 503
    assert len(response.json()["reasons"]) == 2
    assert str(silent_port) not in response.text


def test_unavailable_services_are_reported_without_their_addresses(
    make_api: Callable[..., Api],
) -> None:
    api = make_api(
        redis_url="redis://secret-name:1@127.0.0.1:1",
        postgres_dsn="postgresql://secret-name@127.0.0.1:1/goald",
    )
    response = api.anonymous().get("/readyz")
    assert response.json()["reasons"] == ["Postgres is unavailable", "Redis is unavailable"]
    assert "secret-name" not in response.text
