"""A running server, and raw connections to it."""

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from goald.runtime.http.protocol import BoundedHttp
from goald.runtime.http.server import BoundedServer

DEADLINE_S = 30.0
CHUNKED = b"POST /read HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
DENIED = CHUNKED.replace(b"/read", b"/deny")
GET = b"GET /deny HTTP/1.1\r\nhost: a\r\n\r\n"


@dataclass
class Served:
    """A running server, and the headers that its application received."""

    server: BoundedServer
    url: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=threading.Event)

    def connect(self, address: str = "127.0.0.1") -> socket.socket:
        where = httpx.URL(self.url)
        return socket.create_connection(
            (where.host, where.port), DEADLINE_S, source_address=(address, 0)
        )

    def connections(self) -> list[BoundedHttp]:
        found: list[Any] = list(self.server.server_state.connections)
        return found

    def is_alive(self) -> bool:
        return httpx.get(f"{self.url}/deny", timeout=DEADLINE_S).status_code == 401


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def read_until(connection: socket.socket, end: bytes) -> bytes:
    """Read until the server has sent `end`. Fails if it closes the connection before."""
    received = b""
    while not received.endswith(end) and (part := connection.recv(65_536)):
        received += part
    assert received.endswith(end)
    return received


def read_until_closed(connection: socket.socket) -> bytes:
    received = b""
    try:
        while part := connection.recv(65_536):
            received += part
    except ConnectionError:
        pass
    return received
