"""uvicorn's HTTP/1.1 protocol with bounds on the bytes and the time of every phase of a connection
(docs/decisions/0033)."""

import asyncio
from enum import Enum, auto
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from goald.api.addresses import address_key
from goald.runtime.http import bounds
from goald.runtime.http.bounds import Rejection
from goald.runtime.http.connections import ConnectionTable
from goald.runtime.http.fair_queue import FairQueue
from goald.runtime.http.responses import ResponseTransport

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
    LAST_RESPONSES = auto()
    """Responses to earlier requests, after which the connection ends: nothing is read."""
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

    def __init__(
        self, *args: Any, table: ConnectionTable, queue: FairQueue, **options: Any
    ) -> None:
        """`queue`: the turns in which pipelined requests start."""
        super().__init__(*args, **options)
        self._table = table
        self._queue = queue
        self.client_key = ""
        """The address of the peer, as limits count it."""
        self._is_counted = False
        self._is_between_requests = False
        self._running: Any = None  # the request that the application serves, or served last
        self._framing_bytes = 0
        self._body_bytes = 0
        self._chunk_count = 0
        self._header_count = 0
        self._rejection = bounds.NOT_HTTP
        self._last_rejection: Rejection | None = None
        self.waits_for_turn = False
        """Whether a read of this connection is in the queue, so that nothing more is read."""
        self._checked_at = 0.0
        self._stalled_at: float | None = None
        self._closing_at: float | None = None
        self._phase = Phase.NEW
        self._since = 0.0

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self._enter(Phase.NEW)
        address = self.client[0] if self.client else ""
        self.client_key = address_key(address)
        self._is_counted = self._table.add(address)
        if not self._is_counted:
            self._phase = Phase.REFUSED
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_counted:
            self._table.remove(self.client[0] if self.client else "")
        self._table.remove_refused(self)
        self._end_requests()
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
        """End the connection if its phase takes too long. Time in which the server does not read
        does not count. `crowded`: whether a large share of all connections is open."""
        now = self.loop.time()
        if self.waits_for_turn or (self.flow.read_paused and self._phase is not Phase.REFUSED):
            self._since += now - max(self._since, self._checked_at)
        self._checked_at = now
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
            case Phase.RESPONSE | Phase.LAST_RESPONSES:
                return None

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._since = self.loop.time()

    def abort(self) -> None:
        """End the connection immediately."""
        cast(Any, self.transport).abort()

    # Bytes

    def data_received(self, data: bytes) -> None:
        if self._phase in (Phase.LAST_RESPONSES, Phase.REFUSED):
            return
        self._framing_bytes += len(data)
        super().data_received(data)
        if self._phase is Phase.BODY:
            if self._framing_bytes > bounds.FRAMING_BYTES:
                self._refuse(bounds.FRAMING)
            elif self._body_bytes > bounds.BODY_BYTES:
                self._refuse(bounds.BODY)
            elif self.cycle.body and not self.cycle.response_complete:
                self.flow.pause_reading()  # until the application has taken this part
        elif self._framing_bytes > bounds.HEAD_BYTES:
            self._refuse(bounds.HEAD)

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn for every error of the parser or of a callback."""
        self._refuse(self._rejection)

    def _refuse(self, rejection: Rejection) -> None:
        """Answer with this rejection, after the responses to earlier requests and unless its
        response has started, read nothing more, and close the connection after LINGER_SECONDS."""
        if (
            self._phase in (Phase.LAST_RESPONSES, Phase.REFUSED)
            or self.transport.is_closing()
            or self._await_last_responses(rejection)
        ):
            return
        running = self._running
        is_first = not self.pipeline and (
            running is None
            or running.response_complete
            or (running is self.cycle and not running.response_started)
        )
        is_answered = self._phase is Phase.BODY and self.cycle.response_complete
        self._end_requests()
        self._close_refused(rejection if is_first and not is_answered else None)

    def _close_refused(self, rejection: Rejection | None) -> None:
        if rejection is not None:
            self.transport.write(rejection.response())
        self.transport.write_eof()
        self._enter(Phase.REFUSED)
        self.flow.pause_reading()
        self._table.add_refused(self)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends nothing more. Returns whether the connection stays open, because
        responses to complete requests are due."""
        if self._phase is Phase.LAST_RESPONSES:
            return True
        return self._phase is not Phase.REFUSED and self._await_last_responses(None)

    def _await_last_responses(self, rejection: Rejection | None) -> bool:
        """End the connection after the responses to earlier requests, with this rejection if it is
        not None. Returns False, having done nothing, if no response to a complete request that was
        sent before an incomplete one is due."""
        if self._phase is Phase.BODY:
            if not self.pipeline:
                return False
            self.pipeline.popleft()  # the incomplete one
            self.cycle = self.pipeline[0][0] if self.pipeline else self._running
        elif not self._is_response_due():
            return False
        self._last_rejection = rejection
        self._enter(Phase.LAST_RESPONSES)
        self.flow.pause_reading()
        return True

    def _is_response_due(self) -> bool:
        running = self._running
        return bool(self.pipeline) or (running is not None and not running.response_complete)

    def _end_requests(self) -> None:
        """Report to the application that the client of its requests has disconnected, and release
        their memory."""
        self.pipeline.clear()
        running = self._running
        self.cycle = self.scope = self.headers = self._running = cast(Any, None)
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.body = bytearray()  # the application may hold the request for some time
            running.message_event.set()
            self.flow.resume_writing()

    # Callbacks of the parser

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= bounds.PIPELINE:
            self._fail(bounds.MANY_REQUESTS)
        super().on_message_begin()
        self._header_count = 0
        since = self._since if self._phase is Phase.NEW else self.loop.time()
        self._phase, self._since = Phase.HEAD, since

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase is not Phase.HEAD:
            self._fail(bounds.TRAILER)
        self._header_count += 1
        if self._header_count > bounds.HEADERS:
            self._fail(bounds.MANY_HEADERS)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        rejection = bounds.head_rejection(self.parser.get_http_version(), self.headers)
        if rejection is not None:
            self._fail(rejection)
        super().on_headers_complete()
        self._framing_bytes = self._body_bytes = self._chunk_count = 0
        self._enter(Phase.BODY)
        if self.parser.should_upgrade():  # not supported; what follows is not HTTP
            self.cycle.keep_alive = False

    def on_chunk_header(self) -> None:
        self._chunk_count += 1
        if self._chunk_count > bounds.CHUNKS + self._body_bytes // bounds.CHUNK_BYTES:
            self._fail(bounds.SMALL_CHUNKS)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        self._framing_bytes -= len(body)
        if not self.cycle.response_complete:  # as the base class, without its cost for each chunk
            self.cycle.body += body
            self.cycle.message_event.set()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._framing_bytes = 0
        self._enter(Phase.IDLE if self.cycle.response_complete else Phase.RESPONSE)

    def on_response_complete(self) -> None:
        if self._running is not None:
            self._running.transport.flush()
        if self.cycle.response_complete:
            self.cycle.body = bytearray()  # of a request that was answered before it was read
            if self._phase is Phase.RESPONSE:
                self._enter(Phase.IDLE)
        self._is_between_requests = True  # the next pipelined request waits for its turn
        super().on_response_complete()
        self._is_between_requests = False
        self._unset_keepalive_if_required()  # `end_if_late` does that
        if self._phase is Phase.LAST_RESPONSES:
            self.flow.pause_reading()
            if not self.transport.is_closing() and not self._is_response_due():
                self._end_after_last_response()
        elif self.pipeline:
            self.flow.pause_reading()

    def _end_after_last_response(self) -> None:
        if self._last_rejection is None:
            self.transport.close()
        else:
            self._close_refused(self._last_rejection)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        cycle.transport = ResponseTransport(self.transport)
        self._running = cycle
        if self._is_between_requests:
            self._queue.run(self.client_key, lambda: self._start(cycle, app))
        else:
            super()._start_asgi_task(cycle, app)

    def _start(self, cycle: Any, app: Any) -> None:
        if not cycle.disconnected:
            super()._start_asgi_task(cycle, app)

    def _fail(self, rejection: Rejection) -> None:
        """Refuse the connection from within a callback."""
        self._rejection = rejection
        raise _RefusedError
