"""Reads of bounded size, into one buffer that all connections of a server share."""

import asyncio
from typing import Any

from goald.runtime.http.protocol import BoundedHttp

READ_BYTES = 32 << 10
"""uvloop would read up to 256 KB at a time, which a client can leave in memory."""


class BoundedReads(asyncio.BufferedProtocol):
    """Passes what it reads to a protocol that takes data. The event loop fills the buffer and
    reports it in one step, so connections can share it."""

    def __init__(self, http: BoundedHttp, buffer: memoryview) -> None:
        self._http = http
        self._buffer = buffer

    def connection_made(self, transport: Any) -> None:
        self._http.connection_made(transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._http.data_received(bytes(self._buffer[:nbytes]))

    def eof_received(self) -> None:
        self._http.eof_received()

    def pause_writing(self) -> None:
        self._http.pause_writing()

    def resume_writing(self) -> None:
        self._http.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._http.connection_lost(exc)
