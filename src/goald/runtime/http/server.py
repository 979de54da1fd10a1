"""The HTTP server of the API: uvicorn on a socket that is already bound."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

import uvicorn
from fastapi import FastAPI

from goald.domain.errors import StartError
from goald.runtime.http.allocator import release_free_memory
from goald.runtime.http.connections import ConnectionLimits, ConnectionTable
from goald.runtime.http.fair_queue import FairQueue
from goald.runtime.http.listen_socket import BACKLOG
from goald.runtime.http.protocol import KEEP_ALIVE_SECONDS, BoundedHttp
from goald.runtime.http.reads import READ_BYTES, BoundedReads

GRACE_SECONDS = 5
"""How long requests in progress may take after the server stops; later ones are cut off."""
CLOSE_SECONDS = 2.0
SWEEP_TICKS = 5
"""Ticks of uvicorn, of 0.1 s each, between two checks of all connections."""
TRIM_TICKS = 20
"""Ticks between two releases of free memory."""
API_GC_THRESHOLD = 2_000
"""Objects allocated and not freed between two runs of the garbage collector in an API process: some
deliveries. Cycles that requests leave behind are freed soon, and keep no bodies."""


class ApiServer:
    """Serves an application in the running event loop. Installs no signal handlers."""

    def __init__(
        self, app: FastAPI, listen_socket: socket.socket, limits: ConnectionLimits
    ) -> None:
        """`listen_socket` is closed when serving ends."""
        self._server = BoundedServer(app, limits)
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


async def run_until_signal(server: ApiServer, ready: Callable[[], None]) -> int:
    """Serve until SIGTERM or SIGINT, answer the requests in progress, and return 0. Calls `ready`
    when requests are accepted. Raises StartError if the server ends otherwise."""
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


class BoundedServer(uvicorn.Server):
    """A uvicorn server with limits on what clients send, with an event for its start, and without
    signal handlers."""

    def __init__(self, app: FastAPI, limits: ConnectionLimits | None = None) -> None:
        limits = limits if limits is not None else ConnectionLimits()
        self.table = ConnectionTable(limits)
        self.started_event = asyncio.Event()
        self.queue = FairQueue()
        self._buffer = memoryview(bytearray(READ_BYTES))
        super().__init__(self._configure(app, [str(network) for network in limits.proxies]))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.started_event.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn: answers the requests in progress, within GRACE_SECONDS, and ends
        every connection."""
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            cast(BoundedHttp, connection).abort()
        await asyncio.sleep(0)

    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn every 0.1 s."""
        if counter % SWEEP_TICKS == 0:
            crowded = self.table.is_crowded
            for connection in list(self.server_state.connections):
                cast(BoundedHttp, connection).end_if_late(crowded=crowded)
        if counter % TRIM_TICKS == 0:
            release_free_memory()
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def _configure(self, app: FastAPI, proxies: list[str]) -> uvicorn.Config:
        # uvicorn warns about requests that are not HTTP, so any client could fill the log.
        logging.getLogger("uvicorn").setLevel(logging.ERROR)
        return uvicorn.Config(
            app,
            http=cast(Any, self._protocol),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=bool(proxies),
            forwarded_allow_ips=proxies,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )

    def _protocol(self, **options: Any) -> BoundedReads:
        http = BoundedHttp(table=self.table, queue=self.queue, **options)
        return BoundedReads(http, self._buffer, self.queue)
