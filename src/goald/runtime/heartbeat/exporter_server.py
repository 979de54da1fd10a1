"""A small HTTP server for /metrics on its own thread, with bounds on what clients send (D8)."""

import socket
from collections.abc import Callable
from socketserver import ThreadingMixIn
from threading import BoundedSemaphore, Timer
from typing import IO, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

CONNECTIONS: Final = 16
"""Concurrent connections; a further one is closed immediately. Prometheus opens one for each
server that scrapes."""
REQUEST_BYTES: Final = 16 << 10
"""Of request line and headers. The rest is not read."""
SECONDS: Final = 10.0
"""For a connection, from its start to its end. It serves one request."""


class MetricsServer(ThreadingMixIn, WSGIServer):
    """Answers each connection on a thread. Raises OSError if the address cannot be bound."""

    daemon_threads = True

    def __init__(self, host: str, port: int, app: Callable[..., Any]) -> None:
        """`app`: a WSGI application. Port 0 picks any free port."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family = found[0][0]
        self._free = BoundedSemaphore(CONNECTIONS)
        super().__init__((host, port), _Handler)
        self.set_app(app)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        end = Timer(SECONDS, _end, (request,))
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Does nothing: a client that ends its connection must not fill the log."""


class _Handler(WSGIRequestHandler):
    def setup(self) -> None:
        super().setup()
        self.rfile: Any = _BoundedFile(self.rfile)

    def log_message(self, *args: Any, **kwargs: Any) -> None:
        """Log nothing: any client could fill the log."""


class _BoundedFile:
    """The first REQUEST_BYTES of a file, as far as `http.server` uses it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._remaining = REQUEST_BYTES

    def readline(self, size: int = -1) -> bytes:
        line = self._file.readline(self._most(size))
        self._remaining -= len(line)
        return line

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._most(size))
        self._remaining -= len(data)
        return data

    def close(self) -> None:
        self._file.close()

    def _most(self, size: int) -> int:
        return self._remaining if size < 0 else min(size, self._remaining)


def _end(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
