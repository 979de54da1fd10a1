"""A way to Postgres that breaks off at the worst moment: after COMMIT took effect, and before
anybody was told (D1, D2)."""

import asyncio
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

from tests.fault.harness.one_process import OneProcess
from tests.fault.harness.registry import Act, fault
from tests.fault.harness.servers import Servers, until
from tests.fault.harness.stage import Stage

_COMPLETE = ord("C")
_COMMIT = b"COMMIT\0"
_COMMITTER = b"application_name\0goald-commit\0"
"""Of the connections, those that write what events cause."""


class PostgresProxy:
    """Passes bytes between a Unix socket of its own and a server's. In a thread of its own.

    It reads what the server says, message by message: once `cut` has said so, the next reply to
    a COMMIT is not passed on, and both ends of its connection are closed instead.
    """

    def __init__(self, dsn: str, directory: Path) -> None:
        """`dsn`: of a server on a Unix socket. `directory`: for a socket, its path short."""
        parts = urlsplit(dsn)
        query = parse_qs(parts.query)
        self._port = query["port"][0]
        self._server = f"{query['host'][0]}/.s.PGSQL.{self._port}"
        self._socket = str(directory / f".s.PGSQL.{self._port}")
        host = quote(str(directory), safe="/")
        self.dsn = urlunsplit(parts._replace(query=f"host={host}&port={self._port}"))
        self.was_cut = threading.Event()
        """Whether a reply was kept back since `cut` was last called."""
        self._cuts = False
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
        """Keep back the next reply to a COMMIT."""
        self.was_cut.clear()
        self._cuts = True

    async def _close(self) -> None:
        self._listening.close()
        for task in self._connections:
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections)
        await asyncio.sleep(0)  # what was cut off is closed in the loop's next turn

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            hello = await _hello(reader)
            far_reader, far_writer = await asyncio.open_unix_connection(self._server)
            far_writer.write(hello)
            asking = asyncio.ensure_future(_pass(reader, far_writer))
            try:
                await self._answer(far_reader, writer, commits=_COMMITTER in hello)
            finally:
                asking.cancel()
                far_writer.transport.abort()
        writer.transport.abort()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, commits: bool
    ) -> None:
        """Pass on what the server says, message by message: a letter, a length, a body."""
        while True:
            head = await reader.readexactly(5)
            body = await reader.readexactly(int.from_bytes(head[1:], "big") - 4)
            if commits and self._cuts and head[0] == _COMPLETE and body == _COMMIT:
                self._cuts = False
                self.was_cut.set()
                return
            writer.write(head + body)
            await writer.drain()


async def _hello(reader: asyncio.StreamReader) -> bytes:
    """The first message of a client, which has no letter. Over a Unix socket it asks for no
    TLS before."""
    length = await reader.readexactly(4)
    return length + await reader.readexactly(int.from_bytes(length, "big") - 4)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.transport.abort()


class Proxied(OneProcess):
    """goald in one process, which reaches Postgres through a proxy."""

    def __init__(self, servers: Servers) -> None:
        self.proxy = PostgresProxy(servers.postgres.dsn, servers.path)
        self.proxy.start()
        super().__init__(servers.redis.url, self.proxy.dsn, str(servers.data.logs))


class _ProxiedStage(Stage):
    """Ends the proxy with it."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        engine = self.engine
        super().__exit__(kind, error, trace)
        if isinstance(engine, Proxied):
            engine.proxy.stop()


def proxied_stage() -> Stage:
    return _ProxiedStage(Proxied)


@fault("connection reset after COMMIT and before the reply", test=3, torture=100,
       stage=proxied_stage)  # fmt: skip
def lose_the_reply(act: Act) -> None:
    """Several in a row; one round in three, the tries of what failed lose theirs too."""
    engine = act.stage.engine
    assert isinstance(engine, Proxied)
    times = act.rng.randint(1, 3)
    act.notes.append(f"{times} lost")
    for _ in range(times):
        engine.proxy.cut()
        until("a COMMIT", engine.proxy.was_cut.is_set)
