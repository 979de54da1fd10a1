"""Simulates network failures between a client and Redis."""

import asyncio
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self


class Proxy:
    """Forwards bytes between `url` and a Unix socket.

    `cut()` closes every connection and refuses new ones until `restore()`. With
    `lose_replies`, requests reach the server, but the proxy closes the connection instead
    of forwarding the reply.
    """

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._directory = Path(tempfile.mkdtemp(prefix="goald-", dir="/tmp"))
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._open = True
        self.lose_replies = False

    @property
    def url(self) -> str:
        return f"unix://{self._directory}/proxy"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._accept, f"{self._directory}/proxy")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)
        shutil.rmtree(self._directory)

    def cut(self) -> None:
        self._open = False
        for writer in self._writers:
            writer.close()

    def restore(self) -> None:
        self._open = True
        self.lose_replies = False

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._open:
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        server_reader, server_writer = await asyncio.open_unix_connection(self._socket)
        both = {writer, server_writer}
        self._writers |= both
        with suppress(OSError):
            await asyncio.gather(
                self._forward(reader, server_writer, both),
                self._forward(server_reader, writer, both, replies=True),
            )
        self._writers -= both

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        both: set[asyncio.StreamWriter],
        *,
        replies: bool = False,
    ) -> None:
        try:
            while data := await reader.read(65_536):
                if replies and self.lose_replies:
                    break
                writer.write(data)
                await writer.drain()
        finally:
            for each in both:
                each.close()
