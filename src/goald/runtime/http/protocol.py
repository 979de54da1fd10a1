"""uvicorn's HTTP/1.1 protocol with two more limits: the size of a request's head, and the time
that a request may take to arrive."""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 64 << 10
HEAD_SECONDS = 10.0
BODY_SECONDS = 30.0
"""For the body of a request: 1 MiB at 35 KB/s."""

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class BoundedHttp(HttpToolsProtocol):
    """Answers 431 to a head of more than HEAD_BYTES, and closes the connection if the head does
    not end within HEAD_SECONDS or the body within BODY_SECONDS, so that no client can fill the
    memory or keep idle connections open (D8).

    The size limit is approximate: bytes that arrive in one read with the end of the previous
    request are not counted. The API limits the size of a body. A body must end in time even if
    its request was answered before.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_bytes = 0
        self._in_head = True
        self._is_first_request = True
        self._began_in_this_read = False
        self._timer: asyncio.TimerHandle | None = self._limit(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._began_in_this_read = False
        super().data_received(data)
        if not self._in_head:
            return
        if not self._began_in_this_read:
            self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        if not self._is_first_request:
            self._began_in_this_read = True
            self._head_bytes = 0
        self._is_first_request = False
        if self._timer is None:
            self._timer = self._limit(HEAD_SECONDS)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_timer()
        self._timer = self._limit(BODY_SECONDS)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._stop_timer()
        super().on_message_complete()

    def _limit(self, seconds: float) -> asyncio.TimerHandle:
        return self.loop.call_later(seconds, self._abandon)

    def _abandon(self) -> None:
        self._timer = None
        cast(Any, self.transport).abort()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
