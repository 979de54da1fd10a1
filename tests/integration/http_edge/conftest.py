"""Servers with routes that read, answer early, wait, or return much."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from fastapi import FastAPI, Request, Response
from tests.integration.http_edge.served import (
    DEADLINE_S,
    Served,
)
from tests.support.api.client import serving

from goald.runtime.http.connections import ConnectionLimits


@pytest.fixture
def make_server() -> Iterator[Callable[..., Served]]:
    """Starts servers. `/read` reads the body, `/deny` answers 401 without reading, `/wait` as well
    once `may_answer` is set, `/large` returns 8 MiB, and `/client` the client's address."""
    with ExitStack() as running:

        def make(limits: ConnectionLimits | None = None) -> Served:
            app = FastAPI()
            server, url = running.enter_context(serving(app, limits))
            served = Served(server, url)
            running.callback(served.may_answer.set)

            @app.post("/read")
            async def read(request: Request) -> int:
                served.headers += request.headers.items()
                return len(await request.body())

            @app.api_route("/deny", methods=["GET", "POST"])
            async def deny(request: Request) -> Response:
                served.headers += request.headers.items()
                return Response(status_code=401)

            @app.post("/wait")
            def wait() -> Response:
                served.may_answer.wait(DEADLINE_S)
                return Response(status_code=401)

            @app.get("/large")
            async def large() -> Response:
                return Response(b"x" * (8 << 20))

            @app.get("/client")
            async def client(request: Request) -> str:
                return request.client.host if request.client else ""

            return served

        yield make


@pytest.fixture
def served(make_server: Callable[..., Served]) -> Served:
    return make_server()
