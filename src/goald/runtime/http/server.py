"""The API on its socket: within `goald serve`, and alone in `goald api`."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn
import uvloop
from fastapi import FastAPI

from goald import migrations
from goald.api.app import create_app
from goald.domain.errors import StartError
from goald.migrations.roles import API
from goald.runtime.http.listen_socket import BACKLOG, listening, url_of
from goald.runtime.http.protocol import BoundedHttp
from goald.runtime.wiring.api import api_dependencies
from goald.settings import Settings

PORT = 8080
GRACE_SECONDS = 5
"""For what is under way when the server stops; the rest is broken off."""
CLOSE_SECONDS = 2.0
CONNECTIONS = 4_096
"""At once; who comes then is answered 503. So memory is bounded, whoever connects (D8)."""
KEEP_ALIVE_SECONDS = 75
"""Longer than load balancers keep theirs, so that no request meets a closing connection."""


class ApiServer:
    """An application served in the event loop that is there. Takes no signals over."""

    def __init__(self, app: FastAPI, taken: socket.socket) -> None:
        """`taken`: a socket that listens; it is closed when serving ends."""
        self._server = _Server(server_config(app))
        self._socket = taken
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return when requests are taken. Raises StartError."""
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        up = asyncio.create_task(self._server.up.wait())
        await asyncio.wait({self._serving, up}, return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if self._serving.done():
            self._told()

    async def run(self) -> None:
        """Until stopped or cancelled, and cancelling this stops nothing. Raises StartError
        where it ended by itself."""
        if self._serving is not None:
            await asyncio.wait({self._serving})
            self._told()

    async def stop(self) -> None:
        """Take no more requests, and return when those under way are answered, within
        GRACE_SECONDS + CLOSE_SECONDS; what takes longer is broken off. May be called twice,
        and without a start."""
        self._server.should_exit = True
        if self._serving is not None:
            _, late = await asyncio.wait({self._serving}, timeout=GRACE_SECONDS + CLOSE_SECONDS)
            for task in late:
                task.cancel()

    def _told(self) -> None:
        if self._server.should_exit or self._serving is None:
            return
        error = None if self._serving.cancelled() else self._serving.exception()
        raise StartError(f"the API ended by itself: {error or 'its log says why'}") from error


def serve_api(settings: Settings, *, ready: Callable[[str], None]) -> int:
    """`goald api`: the API alone, until SIGTERM or SIGINT; then finish what is under way, and
    return 0, within 10 s. `ready` is told the URL once requests are taken.

    Blocks, on the main thread. Raises GoaldError where it cannot start: SettingsError where
    tokens cannot be checked, SchemaMismatch where the schema is another.
    """
    parts = api_dependencies(settings)
    migrations.check(settings.postgres.api_dsn, API)
    with api_socket(settings) as (taken, url):
        return uvloop.run(_until_signal(ApiServer(create_app(parts), taken), lambda: ready(url)))


@contextlib.contextmanager
def api_socket(
    settings: Settings, *, embedded: bool = False
) -> Iterator[tuple[socket.socket, str]]:
    """The socket that the settings name, listening, and its URL. StartError where it is taken."""
    port = settings.api_port
    if port is None:
        port = 0 if embedded else PORT
    where = listening(settings.api_host, port, what="the API", setting="GOALD_API")
    with where as taken:
        yield taken, url_of(taken, settings.api_host)


async def _until_signal(server: ApiServer, ready: Callable[[], None]) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await server.start()
        ready()
        running, stopping = asyncio.create_task(server.run()), asyncio.create_task(stop.wait())
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if running.done():
            await running
        running.cancel()
    finally:
        await server.stop()
    return 0


def server_config(app: FastAPI) -> uvicorn.Config:
    """How an application is served: with bounds on what strangers send, and in silence."""
    # Its warnings are about requests that are not HTTP: whoever likes could fill the log.
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
    """One that says when it is up, and leaves signals to whoever runs it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
