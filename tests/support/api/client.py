"""The real HTTP API on a real socket, and how a test speaks with it.

- `api`: over the test's own `database` and `redis_url`. No shard lives, so that a change of
  the configuration is answered at once.
- `make_api`: the same with settings of the test's choice, as often as it likes.
- `daemon.api` (tests/support/services/daemon.py): that of the running daemon, with its shards.
"""

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import httpx
import jwt
import pytest
import uvicorn
from fastapi import FastAPI
from tests.support.api.application import SECRET, api_app
from tests.support.services.servers import Database

from goald.runtime.http.server import server_config
from goald.settings import Settings

SCOPES = ("workflows:read", "workflows:edit", "events:write", "audit:read")
DEADLINE_S = 30.0

_numbers = itertools.count(1)


class Api:
    """An API that listens, and whose tokens are signed by HS256 with a secret we know."""

    def __init__(self, url: str, secret: str) -> None:
        self.url = url
        self.secret = secret
        self._open = ExitStack()

    def token(self, tenant: str, *scopes: str, **claims: Any) -> str:
        """A bearer token; without scopes, of all of them. `claims` are put over the usual
        ones; one that is None is left out."""
        now = int(time.time())
        usual = {
            "iss": "goald",
            "aud": "goald",
            "sub": "tester",
            "iat": now,
            "exp": now + 3600,
            "tenant_id": tenant,
            "scope": " ".join(scopes or SCOPES),
        }
        kept = {name: value for name, value in (usual | claims).items() if value is not None}
        return jwt.encode(kept, self.secret, algorithm="HS256")

    def client(self, tenant: str, *scopes: str, **claims: Any) -> httpx.Client:
        """A client with such a token. Closed after the test."""
        return self._kept(httpx.Client(**self._options(tenant, *scopes, **claims)))

    def async_client(self, tenant: str, *scopes: str, **claims: Any) -> httpx.AsyncClient:
        """The same, asynchronous; to be used with `async with`."""
        return httpx.AsyncClient(**self._options(tenant, *scopes, **claims))

    def anonymous(self) -> httpx.Client:
        """A client without a token. Closed after the test."""
        return self._kept(httpx.Client(base_url=self.url, timeout=DEADLINE_S))

    def close(self) -> None:
        """Close the clients."""
        self._open.close()

    def _kept(self, client: httpx.Client) -> httpx.Client:
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
    """Starts an API over the test's services; `settings` by their names in `Settings`, such
    as `catalog="strict"`. Stopped after the test."""
    given = {"redis_url": redis_url, "postgres_dsn": database.dsn, "jwt_secret": SECRET}
    with ExitStack() as running:

        def make(**settings: Any) -> Api:
            url = running.enter_context(served(api_app(Settings(**(given | settings)))))
            return running.enter_context(closing(Api(url, SECRET)))

        yield make


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    """An API of this test's own, without shards."""
    return make_api()


@pytest.fixture
def other_tenant() -> str:
    """A tenant beside `tenant`, that no other test has."""
    return f"other-tenant-{next(_numbers)}"


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """An application served in a thread of its own on a free port; its URL. Ended, with its
    lifespan, at the end of the body."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(server_config(app))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not server.started:
            assert thread.is_alive(), "the API ended before it listened"
            assert time.monotonic() < deadline, "the API does not listen"
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(DEADLINE_S)
        listener.close()
        assert not thread.is_alive(), "the API does not end"
