"""A connection to Postgres that breaks after COMMIT took effect and before the reply (D1, D2)."""

import asyncio
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

from tests.fault.harness.environment import FaultEnvironment
from tests.fault.harness.registry import FaultContext, fault
from tests.fault.harness.servers import Servers, until
from tests.fault.harness.single_process import SingleProcess

_COMPLETE = ord("C")
_COMMIT = b"COMMIT\0"
_COMMITTER = b"application_name\0goald-commit\0"
"""Identifies the connections that commit the effects of events."""


class PostgresProxy:
    """Forwards bytes between its own Unix socket and a server's, in its own thread.

    It reads the server's messages one by one. After `cut`, it does not forward the next reply to
    a COMMIT, and closes both ends of that connection instead.
    """

    def __init__(self, dsn: str, directory: Path) -> None:
        """`dsn`: a server on a Unix socket. `directory`: for the proxy's socket; a short path."""
        split = urlsplit(dsn)
        query = parse_qs(split.query)
        self._port = query["port"][0]
        self._server = f"{query['host'][0]}/.s.PGSQL.{self._port}"
        self._socket = str(directory / f".s.PGSQL.{self._port}")
        host = quote(str(directory), safe="/")
        self.dsn = urlunsplit(split._replace(query=f"host={host}&port={self._port}"))
        self.was_cut = threading.Event()
        """Whether a reply was withheld since the last call of `cut`."""
        self._cut_next = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._connections: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._thread.start()
        opening = asyncio.start_unix_server(self._accept, self._socket)
        self._listening = asyncio.run_coroutine_threadsafe(opening, self._loop).result()

    def stop(self) -> None:
        """Close every connection and end the thread."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        Path(self._socket).unlink(missing_ok=True)

    def cut(self) -> None:
        """Withhold the next reply to a COMMIT."""
        self.was_cut.clear()
        self._cut_next = True

    async def _close(self) -> None:
        self._listening.close()
        for task in self._connections:
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections)
        await asyncio.sleep(0)  # aborted transports close in the next iteration of the loop

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            startup = await _startup(reader)
            far_reader, far_writer = await asyncio.open_unix_connection(self._server)
            far_writer.write(startup)
            asking = asyncio.ensure_future(_forward(reader, far_writer))
            try:
                await self._answer(far_reader, writer, commits=_COMMITTER in startup)
            finally:
                asking.cancel()
                far_writer.transport.abort()
        writer.transport.abort()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, commits: bool
    ) -> None:
        """Forward the server's messages one by one: a type byte, a length, a body."""
        while True:
            head = await reader.readexactly(5)
            body = await reader.readexactly(int.from_bytes(head[1:], "big") - 4)
            if commits and self._cut_next and head[0] == _COMPLETE and body == _COMMIT:
                self._cut_next = False
                self.was_cut.set()
                return
            writer.write(head + body)
            await writer.drain()


async def _startup(reader: asyncio.StreamReader) -> bytes:
    """The first message of a client, which has no type byte. Over a Unix socket, no TLS request
    precedes it."""
    length = await reader.readexactly(4)
    return length + await reader.readexactly(int.from_bytes(length, "big") - 4)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.transport.abort()


class ProxiedProcess(SingleProcess):
    """goald in one process that connects to Postgres through a proxy."""

    def __init__(self, servers: Servers) -> None:
        self.proxy = PostgresProxy(servers.postgres.dsn, servers.path)
        self.proxy.start()
        super().__init__(servers.redis.url, self.proxy.dsn, str(servers.data.logs))


class _ProxiedEnvironment(FaultEnvironment):
    """An environment that stops the proxy at its end."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        goald = self.goald
        super().__exit__(kind, error, trace)
        if isinstance(goald, ProxiedProcess):
            goald.proxy.stop()


def proxied_environment() -> FaultEnvironment:
    return _ProxiedEnvironment(ProxiedProcess)


@fault("connection reset after COMMIT and before the reply", test=3, torture=100,
       environment=proxied_environment)  # fmt: skip
def lose_the_reply(context: FaultContext) -> None:
    """One to three replies in a row, so that repeated commits may lose theirs too."""
    goald = context.environment.goald
    assert isinstance(goald, ProxiedProcess)
    times = context.rng.randint(1, 3)
    context.notes.append(f"{times} lost")
    for _ in range(times):
        goald.proxy.cut()
        until("a COMMIT", goald.proxy.was_cut.is_set)
