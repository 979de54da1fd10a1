"""Reads of bounded size, into one buffer that all connections of a server share, processed in
turns."""

import asyncio
from typing import Any

from goald.runtime.http.fair_queue import FairQueue
from goald.runtime.http.protocol import BoundedHttp

READ_BYTES = 16 << 10
"""uvloop would read up to 256 KB at a time, which a client can leave in memory."""


class BoundedReads(asyncio.BufferedProtocol):
    """Passes what it reads to a protocol that takes data. The event loop fills the buffer and
    reports it in one step, so connections can share it. While many connections send, a connection
    waits for its turn with one read in memory, and reads nothing more."""

    def __init__(self, http: BoundedHttp, buffer: memoryview, queue: FairQueue) -> None:
        self._http = http
        self._buffer = buffer
        self._queue = queue
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._http.connection_made(transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._buffer[:nbytes])
        if not self._queue.run(self._http.client_key, lambda: self._process(data)):
            self._http.waits_for_turn = True
            self._transport.pause_reading()

    def _process(self, data: bytes) -> None:
        self._http.waits_for_turn = False
        if self._transport is None or self._transport.is_closing():
            return
        self._http.data_received(data)
        if not self._http.flow.read_paused:
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        return self._http.eof_received()

    def pause_writing(self) -> None:
        self._http.pause_writing()

    def resume_writing(self) -> None:
        self._http.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._http.connection_lost(exc)
