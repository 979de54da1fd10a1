"""The HTTP API on a real socket, and clients for it.

- `api`: uses the `database` and `redis_url` of the test. No shard runs, so that changes of
  the configuration are answered immediately.
- `make_api`: starts APIs with the given settings.
- `patient_quotas`: for tests of requests that exceed a quota.
- `daemon.api` (tests/support/services/daemon.py): the API of the running daemon.
"""

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import Any

import httpx
import jwt
import pytest
from fastapi import FastAPI
from tests.support.api.application import SECRET, SECRETS_KEY, api_app
from tests.support.services.servers import Database

from goald.adapters.redis.quotas import RedisQuotas
from goald.runtime.http.connections import ConnectionLimits
from goald.runtime.http.server import BoundedServer
from goald.runtime.wiring import api as wiring
from goald.settings import Settings

SCOPES = (
    "workflows:read",
    "workflows:edit",
    "events:write",
    "contacts:read",
    "contacts:edit",
    "executions:read",
    "executions:edit",
    "audit:read",
)
DEADLINE_S = 30.0

_numbers = itertools.count(1)


class Api:
    """A listening API whose tokens are signed with HS256 and a known secret."""

    def __init__(self, url: str, secret: str) -> None:
        self.url = url
        self.secret = secret
        self._open = ExitStack()

    def token(self, tenant: str, *scopes: str, **claims: Any) -> str:
        """A bearer token, by default with all scopes. `claims` replace the default claims; None
        removes one."""
        now = int(time.time())
        defaults = {
            "iss": "goald",
            "aud": "goald",
            "sub": "tester",
            "iat": now,
            "exp": now + 3600,
            "tenant_id": tenant,
            "scope": " ".join(scopes or SCOPES),
        }
        payload = {name: value for name, value in (defaults | claims).items() if value is not None}
        return jwt.encode(payload, self.secret, algorithm="HS256")

    def client(self, tenant: str, *scopes: str, **claims: Any) -> httpx.Client:
        """A client with such a token. Closed after the test."""
        return self._close_later(httpx.Client(**self._options(tenant, *scopes, **claims)))

    def async_client(self, tenant: str, *scopes: str, **claims: Any) -> httpx.AsyncClient:
        """An asynchronous client with such a token, for `async with`."""
        return httpx.AsyncClient(**self._options(tenant, *scopes, **claims))

    def anonymous(self) -> httpx.Client:
        """A client without a token. Closed after the test."""
        return self._close_later(httpx.Client(base_url=self.url, timeout=DEADLINE_S))

    def close(self) -> None:
        """Close the clients."""
        self._open.close()

    def _close_later(self, client: httpx.Client) -> httpx.Client:
        self._open.callback(client.close)
        return client

    def _options(self, tenant: str, *scopes: str, **claims: Any) -> dict[str, Any]:
        return {
            "base_url": self.url,
            "headers": {"authorization": f"Bearer {self.token(tenant, *scopes, **claims)}"},
            "timeout": DEADLINE_S,
        }


@pytest.fixture
def make_api(database: Database, redis_url: str) -> Iterator[Callable[..., Api]]:
    """A function that starts an API over the services of the test. Its arguments are fields of
    `Settings`, such as `catalog="strict"`. The APIs are stopped after the test."""
    defaults = {
        "redis_url": redis_url,
        "postgres_dsn": database.dsn,
        "jwt_secret": SECRET,
        "secrets_keys": SECRETS_KEY,
    }
    with ExitStack() as running:

        def make(**settings: Any) -> Api:
            url = running.enter_context(served(api_app(Settings(**(defaults | settings)))))
            return running.enter_context(closing(Api(url, SECRET)))

        yield make


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    """An API for this test, without shards."""
    return make_api()


@pytest.fixture
def patient_quotas(monkeypatch: pytest.MonkeyPatch) -> None:
    """APIs of this test wait for Redis however busy the machine is. Otherwise requests pass without
    being counted if Redis takes longer than a quarter of a second to answer."""
    monkeypatch.setattr(wiring, "RedisQuotas", partial(RedisQuotas, patience=DEADLINE_S))


@pytest.fixture
def other_tenant() -> str:
    """A second tenant, which no other test uses."""
    return f"other-tenant-{next(_numbers)}"


@contextmanager
def served(app: FastAPI, limits: ConnectionLimits | None = None) -> Iterator[str]:
    """Serve an application as `serving` does. Yields its URL."""
    with serving(app, limits) as (_, url):
        yield url


@contextmanager
def serving(
    app: FastAPI, limits: ConnectionLimits | None = None
) -> Iterator[tuple[BoundedServer, str]]:
    """Serve an application in a thread on a free port. Yields the server and its URL; the server
    and the lifespan of the application end with the `with` block."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = BoundedServer(app, limits)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not server.started:
            assert thread.is_alive(), "the API ended before it accepted connections"
            assert time.monotonic() < deadline, "the API does not accept connections"
            time.sleep(0.005)
        yield server, f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(DEADLINE_S)
        listener.close()
        assert not thread.is_alive(), "the API does not end"
