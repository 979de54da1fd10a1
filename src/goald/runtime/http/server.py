"""The HTTP server of the API: uvicorn on a socket that is already bound."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from goald.domain.errors import StartError
from goald.runtime.http.listen_socket import BACKLOG, bind, url_of
from goald.runtime.http.protocol import BoundedHttp
from goald.settings import Settings

PORT = 8080
GRACE_SECONDS = 5
"""How long requests in progress may take after the server stops; later ones are cut off."""
CLOSE_SECONDS = 2.0
CONNECTIONS = 4_096
"""Concurrent connections; more are answered 503. Bounds memory (D8)."""
KEEP_ALIVE_SECONDS = 75
"""Longer than the keep-alive of load balancers, so that no request meets a closing
connection."""


class ApiServer:
    """Serves an application in the running event loop. Installs no signal handlers."""

    def __init__(self, app: FastAPI, listen_socket: socket.socket) -> None:
        """`listen_socket` is closed when serving ends."""
        self._server = _Server(server_config(app))
        self._socket = listen_socket
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return when requests are accepted. Raises StartError."""
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        started = asyncio.create_task(self._server.started_event.wait())
        await asyncio.wait({self._serving, started}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if self._serving.done():
            self._raise_if_ended()

    async def run(self) -> None:
        """Wait until `stop` is called. Cancelling this does not stop the server. Raises
        StartError if the server ends unexpectedly."""
        if self._serving is not None:
            await asyncio.wait({self._serving})
            self._raise_if_ended()

    async def stop(self) -> None:
        """Accept no more requests, and return when those in progress are answered, within
        GRACE_SECONDS + CLOSE_SECONDS; requests that take longer are cut off. May be called
        twice, and before `start`."""
        self._server.should_exit = True
        if self._serving is not None:
            _, late = await asyncio.wait({self._serving}, timeout=GRACE_SECONDS + CLOSE_SECONDS)
            for task in late:
                task.cancel()

    def _raise_if_ended(self) -> None:
        if self._server.should_exit or self._serving is None:
            return
        error = None if self._serving.cancelled() else self._serving.exception()
        raise StartError(f"The API server ended unexpectedly: {error or 'see its log'}") from error


@contextlib.contextmanager
def api_socket(
    settings: Settings, *, embedded: bool = False
) -> Iterator[tuple[socket.socket, str]]:
    """Yields the API's listen socket as the settings define it, and its URL. Raises StartError if
    the address cannot be bound."""
    port = settings.api_port
    if port is None:
        port = 0 if embedded else PORT
    with bind(settings.api_host, port, what="the API", setting="GOALD_API") as listen_socket:
        yield listen_socket, url_of(listen_socket, settings.api_host)


def server_config(app: FastAPI) -> uvicorn.Config:
    """How uvicorn serves an application: with limits on what clients send, and without logs."""
    # uvicorn warns about requests that are not HTTP, so any client could fill the log.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    return uvicorn.Config(
        app,
        http=BoundedHttp,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


class _Server(uvicorn.Server):
    """A uvicorn server with an event for its start, and without signal handlers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.started_event = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.started_event.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
