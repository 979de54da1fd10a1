"""uvicorn's HTTP/1.1 protocol with bounds on the bytes and the time of every phase of a connection
(docs/decisions/0033)."""

import asyncio
from enum import Enum, auto
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from goald.runtime.http.connections import ConnectionTable

HEAD_BYTES = 32 << 10
HEADERS = 100
BODY_BYTES = (1 << 20) + (64 << 10)
"""More than the API reads, so that it can answer a larger body itself."""
FRAMING_BYTES = 64 << 10
"""Bytes after the head that are not content: sizes and extensions of chunks."""
PIPELINE = 16
"""Requests of one connection that wait for a response."""

HEAD_SECONDS = 10.0
BODY_SECONDS = 30.0
"""For the body of a request: 1 MiB at 35 KB/s."""
KEEP_ALIVE_SECONDS = 75
"""Longer than the keep-alive of load balancers, so that no request meets a closing
connection."""
CROWDED_SECONDS = 2.0
"""How long a connection may be idle while a large share of all connections is open."""
WRITE_SECONDS = 30.0
"""How long a client may leave a full send buffer unread."""
CLOSE_SECONDS = 5.0
"""How long the last bytes of a connection may take after it was closed."""
LINGER_SECONDS = 2.0
"""How long a refused connection stays open: its client can read the response, and has to wait
before it tries again."""

_REASONS = {
    400: b"Bad Request",
    413: b"Content Too Large",
    431: b"Request Header Fields Too Large",
}


class Phase(Enum):
    """The next thing that a connection waits for."""

    NEW = auto()
    """The first byte of its first request."""
    HEAD = auto()
    BODY = auto()
    """The rest of a request, whether it was answered already or not."""
    RESPONSE = auto()
    IDLE = auto()
    """The next request."""
    REFUSED = auto()
    """Its end: nothing is read."""


class _RefusedError(Exception):
    """Ends the parser's work on a connection that was refused."""


class BoundedHttp(HttpToolsProtocol):
    """Refuses what exceeds a bound with 400, 413 or 431 and closes the connection, so that no
    client can fill the memory or keep connections open (D8). Trailers are refused, because they
    would be merged into the headers after proxies have checked those.

    Bytes are counted per read, so each bound on bytes is exceeded by up to one read
    (`reads.READ_BYTES`). At most one read of a body is in memory before the application asks for
    it. `end_if_late` must be called regularly: it applies the bounds on time.
    """

    def __init__(self, *args: Any, table: ConnectionTable, **options: Any) -> None:
        super().__init__(*args, **options)
        self._table = table
        self._is_counted = False
        self._running: Any = None  # the request that the application serves, or served last
        self._framing_bytes = 0
        self._body_bytes = 0
        self._header_count = 0
        self._status = 400
        self._stalled_at: float | None = None
        self._closing_at: float | None = None
        self._phase = Phase.NEW
        self._since = 0.0

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._enter(Phase.NEW)
        self._is_counted = self._table.add(self.client[0] if self.client else "")
        if not self._is_counted:
            self._phase = Phase.REFUSED
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_counted:
            self._table.remove(self.client[0] if self.client else "")
        running = self._running
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        self._stalled_at = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stalled_at = None
        super().resume_writing()

    def shutdown(self) -> None:
        """Called by uvicorn when the server stops."""
        if self._phase is Phase.REFUSED:
            self.abort()
        else:
            super().shutdown()

    def end_if_late(self, *, crowded: bool) -> None:
        """End the connection if its phase takes too long. `crowded`: whether a large share of all
        connections is open."""
        now = self.loop.time()
        if self.transport.is_closing():
            self._closing_at = now if self._closing_at is None else self._closing_at
        limit = self._limit(crowded)
        if (
            (limit is not None and now - self._since >= limit)
            or (self._stalled_at is not None and now - self._stalled_at >= WRITE_SECONDS)
            or (self._closing_at is not None and now - self._closing_at >= CLOSE_SECONDS)
        ):
            self.abort()

    def _limit(self, crowded: bool) -> float | None:
        """Seconds that the current phase may take; None if it depends on the application."""
        match self._phase:
            case Phase.NEW | Phase.IDLE if crowded:
                return CROWDED_SECONDS
            case Phase.NEW | Phase.HEAD:
                return HEAD_SECONDS
            case Phase.BODY:
                return BODY_SECONDS
            case Phase.IDLE:
                return KEEP_ALIVE_SECONDS
            case Phase.REFUSED:
                return LINGER_SECONDS
            case Phase.RESPONSE:
                return None

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._since = self.loop.time()

    def abort(self) -> None:
        """End the connection immediately."""
        cast(Any, self.transport).abort()

    # Bytes

    def data_received(self, data: bytes) -> None:
        if self._phase is Phase.REFUSED:
            return
        self._framing_bytes += len(data)
        super().data_received(data)
        if self._phase is Phase.BODY:
            if self._framing_bytes > FRAMING_BYTES:
                self._refuse(400)
            elif self._body_bytes > BODY_BYTES:
                self._refuse(413)
            elif self.cycle.body and not self.cycle.response_complete:
                self.flow.pause_reading()  # until the application has taken this part
        elif self._framing_bytes > HEAD_BYTES:
            self._refuse(431)

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn for every error of the parser or of a callback."""
        self._refuse(self._status)

    def _refuse(self, status: int) -> None:
        """Answer with this status if no other response is due, read nothing more, and close the
        connection after LINGER_SECONDS."""
        if self._phase is Phase.REFUSED or self.transport.is_closing():
            return
        running = self._running
        is_first = not self.pipeline and (
            running is None
            or running.response_complete
            or (running is self.cycle and not running.response_started)
        )
        is_answered = self._phase is Phase.BODY and self.cycle.response_complete
        self._end_requests()
        if is_first and not is_answered:
            self.transport.write(
                b"HTTP/1.1 %d %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                % (status, _REASONS[status])
            )
        self.transport.write_eof()
        self._enter(Phase.REFUSED)
        self.flow.pause_reading()

    def _end_requests(self) -> None:
        """Report to the application that the client of its requests has disconnected."""
        self.pipeline.clear()
        running = self._running
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
            self.flow.resume_writing()

    # Callbacks of the parser

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= PIPELINE:
            self._fail(400)
        super().on_message_begin()
        self._header_count = 0
        since = self._since if self._phase is Phase.NEW else self.loop.time()
        self._phase, self._since = Phase.HEAD, since

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase is not Phase.HEAD:
            self._fail(400)  # a trailer
        self._header_count += 1
        if self._header_count > HEADERS:
            self._fail(431)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._framing_bytes = self._body_bytes = 0
        self._enter(Phase.BODY)
        if self.parser.should_upgrade():  # not supported; what follows is not HTTP
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        self._framing_bytes -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._framing_bytes = 0
        self._enter(Phase.IDLE if self.cycle.response_complete else Phase.RESPONSE)

    def on_response_complete(self) -> None:
        if self.cycle.response_complete:
            self.cycle.body = bytearray()  # of a request that was answered before it was read
            if self._phase is Phase.RESPONSE:
                self._enter(Phase.IDLE)
        super().on_response_complete()
        self._unset_keepalive_if_required()  # `end_if_late` does that
        if self.pipeline:
            self.flow.pause_reading()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _fail(self, status: int) -> None:
        """Refuse the connection from within a callback."""
        self._status = status
        raise _RefusedError
