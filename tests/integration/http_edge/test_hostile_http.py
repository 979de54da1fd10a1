"""Hostile bytes in any phase of a connection: the server bounds their number and their time, and
serves others (D8)."""

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.api.client import serving
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT

from goald.runtime.http import bounds, fair_queue
from goald.runtime.http import protocol as http_protocol
from goald.runtime.http.connections import ConnectionLimits
from goald.runtime.http.protocol import BoundedHttp, Phase
from goald.runtime.http.reads import READ_BYTES
from goald.runtime.http.server import BoundedServer
from goald.settings import Settings

DEADLINE_S = 30.0
KERNEL_BYTES = 16 << 20
"""More than the kernel buffers of one connection."""
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


@pytest.fixture
def make_server() -> Iterator[Callable[..., Served]]:
    """Starts servers. `/read` reads the body, `/deny` answers 401 without reading, `/wait` as well
    once `may_answer` is set, `/large` returns 8 MiB, and `/client` the client's address."""
    with ExitStack() as running:

        def make(limits: ConnectionLimits | None = None) -> Served:
            app = FastAPI()
            server, url = running.enter_context(serving(app, limits))
            served = Served(server, url)
            running.callback(served.may_answer.set)

            @app.post("/read")
            async def read(request: Request) -> int:
                served.headers += request.headers.items()
                return len(await request.body())

            @app.api_route("/deny", methods=["GET", "POST"])
            async def deny(request: Request) -> Response:
                served.headers += request.headers.items()
                return Response(status_code=401)

            @app.post("/wait")
            def wait() -> Response:
                served.may_answer.wait(DEADLINE_S)
                return Response(status_code=401)

            @app.get("/large")
            async def large() -> Response:
                return Response(b"x" * (8 << 20))

            @app.get("/client")
            async def client(request: Request) -> str:
                return request.client.host if request.client else ""

            return served

        yield make


@pytest.fixture
def served(make_server: Callable[..., Served]) -> Served:
    return make_server()


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def read_until_closed(connection: socket.socket) -> bytes:
    received = b""
    try:
        while part := connection.recv(65_536):
            received += part
    except ConnectionError:
        pass
    return received


def send_until_closed(connection: socket.socket, data: bytes) -> tuple[int, bytes]:
    """Send the data again and again until the server ends the connection. Returns the bytes that
    were sent and received."""
    sent, received = 0, b""
    connection.setblocking(False)
    deadline = time.monotonic() + DEADLINE_S
    try:
        while True:
            assert time.monotonic() < deadline, f"still open after {sent} bytes"
            readable, writable, _ = select.select([connection], [connection], [], 0.5)
            if readable:
                part = connection.recv(65_536)
                if not part:
                    return sent, received
                received += part
            if writable:
                sent += connection.send(data)
    except ConnectionError:
        return sent, received


@contextmanager
def is_closed_by_server(connection: socket.socket) -> Iterator[None]:
    """After the `with` block, waits until the server has ended the connection, without reading."""
    yield
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    assert poll.poll(DEADLINE_S * 1e3), "the server keeps the connection"


BLOCK = b"a" * 16_384
HEADERS = b"".join(b"x-%d: a\r\n" % number for number in range(500))
ENDLESS = {
    "request line": (b"GET /", BLOCK, 431),
    "method": (b"", BLOCK, 400),
    "headers": (b"GET / HTTP/1.1\r\n", HEADERS, 431),
    "header": (b"GET / HTTP/1.1\r\nx: ", BLOCK, 431),
    "line breaks": (b"", b"\r\n" * 8_192, 431),
    "line breaks after a request": (GET, b"\r\n" * 8_192, 401),
    "chunk extension": (CHUNKED + b"1;x=", BLOCK, 400),
    "chunk size": (CHUNKED, b"0" * 16_384, 400),
    "tiny chunks": (CHUNKED, b"1\r\na\r\n" * 2_000, 400),
    "chunked body": (CHUNKED, b"4000\r\n" + BLOCK + b"\r\n", 413),
    "trailers": (CHUNKED + b"0\r\n", HEADERS, 400),
    "trailer": (CHUNKED + b"0\r\nx: ", BLOCK, 400),
    "trailer name": (CHUNKED + b"0\r\n", BLOCK, 400),
    "body of a refused request": (DENIED, b"4000\r\n" + BLOCK + b"\r\n", 401),
    "trailers of a refused request": (DENIED + b"0\r\n", HEADERS, 401),
    "trailer of a refused request": (DENIED + b"0\r\nx: ", BLOCK, 401),
    "chunk extension of a refused request": (DENIED + b"1;x=", BLOCK, 401),
    "pipelined requests": (b"", GET * 500, None),
    "bytes after an upgrade": (
        b"GET /deny HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        BLOCK,
        401,
    ),
}


@pytest.mark.parametrize("phase", ENDLESS)
def test_endless_bytes_end_the_connection(served: Served, phase: str) -> None:
    begin, data, status = ENDLESS[phase]
    with served.connect() as connection:
        connection.sendall(begin)
        if status == 401:
            connection.recv(1)  # the rejection, before more is sent
        sent, received = send_until_closed(connection, data)
    assert sent < KERNEL_BYTES
    if status == 401:
        assert received.startswith(b"TTP/1.1 401 ")
    elif status is not None and received:  # a reset may destroy the response
        assert received.startswith(b"HTTP/1.1 %d " % status)
    assert b"HTTP/1.1 5" not in received
    assert served.is_alive()


@pytest.mark.parametrize("path", [b"read", b"deny"])
def test_trailer_is_refused_and_never_becomes_a_header(served: Served, path: bytes) -> None:
    request = CHUNKED.replace(b"read", path) + b"3\r\nabc\r\n0\r\nAuthorization: Bearer x\r\n\r\n"
    with served.connect() as connection:
        connection.sendall(request + GET)
        received = read_until_closed(connection)
    if path == b"read":
        assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1 ") == 1
    assert "authorization" not in dict(served.headers)


def test_more_than_100_headers_are_refused(served: Served) -> None:
    def status(count: int) -> int:
        headers = {f"x-{number}": "a" for number in range(count)}
        with httpx.Client(base_url=served.url, timeout=DEADLINE_S) as client:
            return client.get("/deny", headers=headers).status_code

    assert (status(90), status(101)) == (401, 431)


def test_a_body_of_tiny_chunks_is_refused_with_the_reason(served: Served) -> None:
    def response(chunk: bytes, count: int) -> bytes:
        encoded = b"%x\r\n%s\r\n" % (len(chunk), chunk) * count
        with served.connect() as connection:
            connection.sendall(CHUNKED + encoded + b"0\r\n\r\n")
            return connection.recv(65_536)

    assert response(b"a", bounds.CHUNKS).startswith(b"HTTP/1.1 200 ")
    assert response(b"a" * bounds.CHUNK_BYTES, 2_000).startswith(b"HTTP/1.1 200 ")
    refused = response(b"a", bounds.CHUNKS + 20)
    assert refused.startswith(b"HTTP/1.1 400 ")
    assert bounds.SMALL_CHUNKS.detail.encode() in refused


def test_a_connection_that_waits_for_its_turn_has_one_read_in_memory(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waiting() -> int:
        return sum(map(len, list(served.server.queue.waiting.values())))

    monkeypatch.setattr(fair_queue, "PER_TURN", 0)
    assert served.is_alive()  # from the turn after this request on, everything waits
    body = b"a" * 900_000
    head = b"POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(body)
    with ExitStack() as clients:
        connections = [clients.enter_context(served.connect()) for _ in range(10)]
        senders = [
            threading.Thread(target=each.sendall, args=(head + body,)) for each in connections
        ]
        for each in senders:
            each.start()
        until(lambda: waiting() >= len(connections), "reads that wait")
        time.sleep(0.2)  # for more reads
        assert waiting() <= len(connections)
        monkeypatch.setattr(fair_queue, "PER_TURN", 1)
        for connection, sender in zip(connections, senders, strict=True):
            assert connection.recv(65_536).endswith(b"\r\n\r\n%d" % len(body))
            sender.join()


def test_a_connection_is_read_again_after_its_turn(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fair_queue, "PER_TURN", 0)
    assert served.is_alive()  # from the turn after this request on, everything waits
    with served.connect() as first, served.connect() as second:
        for each in (first, second):
            each.sendall(GET)
        until(lambda: bool(served.server.queue.waiting), "a read that waits")
        monkeypatch.setattr(fair_queue, "PER_TURN", 1)
        for each in (first, second):
            assert each.recv(65_536).startswith(b"HTTP/1.1 401 ")
            each.sendall(GET)
            assert each.recv(65_536).startswith(b"HTTP/1.1 401 ")


segment = st.one_of(
    st.sampled_from(
        [
            GET,
            CHUNKED,
            DENIED,
            b"3\r\nabc\r\n",
            b"0\r\n\r\n",
            b"0\r\nx-trailer: a\r\n\r\n",
            b"POST /read HTTP/1.1\r\ncontent-length: 5\r\n\r\nabcde",
            b"POST /deny HTTP/1.0\r\ncontent-length: 70000\r\n\r\n" + b"a" * 70_000,
            b"HEAD /deny HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n\r\n",
            b"CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n",
            b"GET /deny HTTP/1.1\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"x-header: " + b"a" * 40_000,
            b"\r\n" * 100,
        ]
    ),
    st.binary(max_size=200),
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(segments=st.lists(segment, max_size=8), size=st.integers(1, 5_000))
def test_any_bytes_get_responses_or_a_closed_connection(
    served: Served, segments: list[bytes], size: int
) -> None:
    data = b"".join(segments)
    size = max(size, len(data) // 50)
    with served.connect() as connection:
        try:
            for start in range(0, len(data), size):
                connection.sendall(data[start : start + size])
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        received = read_until_closed(connection)
    assert received == b"" or received.startswith(b"HTTP/1.1 ")
    assert b"HTTP/1.1 500 " not in received
    assert "x-trailer" not in dict(served.headers)
    served.headers.clear()
    for each in served.connections():
        retained = each.cycle.body if each.cycle is not None else b""
        assert len(retained) <= HIGH_WATER_LIMIT + READ_BYTES
        assert len(each.pipeline) <= bounds.PIPELINE


def test_body_is_not_read_before_the_application_asks_for_it(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(b"POST /wait HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n")
        connection.setblocking(False)
        sent = 0
        try:
            while sent < 1_000_000:
                sent += connection.send(BLOCK)
        except BlockingIOError:
            pass
        until(lambda: len(served.connections()) == 1, "no connection")
        (protocol,) = served.connections()
        until(lambda: protocol.flow.read_paused, "the server reads on")
        assert 0 < len(protocol.cycle.body) <= READ_BYTES
        served.may_answer.set()
        until(lambda: not protocol.cycle.body, "the body of an answered request is kept")


def test_bytes_that_are_no_request_do_not_keep_an_idle_connection_open(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "KEEP_ALIVE_SECONDS", 0.3)
    with served.connect() as connection:
        connection.sendall(GET)
        connection.settimeout(0.05)
        deadline = time.monotonic() + DEADLINE_S
        while True:
            assert time.monotonic() < deadline, "the connection stays open"
            try:
                connection.send(b"\r\n")
                if not connection.recv(65_536):
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break


@pytest.mark.parametrize(
    ("more", "bound", "other"),
    [
        (b"", "WRITE_SECONDS", "CLOSE_SECONDS"),
        (b"connection: close\r\n", "CLOSE_SECONDS", "WRITE_SECONDS"),
    ],
    ids=["keep-alive", "close"],
)
def test_client_that_does_not_read_its_response_is_disconnected(
    served: Served, monkeypatch: pytest.MonkeyPatch, more: bytes, bound: str, other: str
) -> None:
    monkeypatch.setattr(http_protocol, bound, 0.3)
    monkeypatch.setattr(http_protocol, other, 10 * DEADLINE_S)
    with served.connect() as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nhost: a\r\n" + more + b"\r\n")
        until(lambda: len(served.connections()) == 1, "no connection")
        until(lambda: not served.connections(), "the server keeps the connection")


def test_connection_that_asks_for_an_upgrade_is_closed_after_the_response(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(
            b"GET /deny HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"
        )
        received = read_until_closed(connection)
    assert received.startswith(b"HTTP/1.1 401 ")
    assert b"connection: close\r\n" in received


def test_connections_of_one_address_are_limited(make_server: Callable[..., Served]) -> None:
    served = make_server(ConnectionLimits(per_address=3))
    with ExitStack() as clients:
        for _ in range(3):
            clients.enter_context(served.connect("127.0.0.2"))
        until(lambda: len(served.connections()) == 3, "three connections")
        with served.connect("127.0.0.2") as refused:
            refused.sendall(GET)  # a connection that is accepted gets a response
            assert read_until_closed(refused) == b""
            assert len(served.connections()) == 3
        assert served.is_alive()
    until(lambda: not served.connections(), "no connection")
    with served.connect("127.0.0.2") as again:
        again.sendall(GET)
        assert again.recv(65_536).startswith(b"HTTP/1.1 401 ")


def test_all_connections_are_limited(make_server: Callable[..., Served]) -> None:
    served = make_server(ConnectionLimits(total=3))
    with ExitStack() as clients:
        for number in range(3):
            clients.enter_context(served.connect(f"127.0.0.{number + 2}"))
        until(lambda: len(served.connections()) == 3, "three connections")
        with served.connect() as refused:
            refused.sendall(GET)  # a connection that is accepted gets a response
            assert read_until_closed(refused) == b""
            assert len(served.connections()) == 3


def test_idle_connections_are_closed_early_while_many_are_open(
    make_server: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "CROWDED_SECONDS", 0.2)
    served = make_server(ConnectionLimits(total=8))
    with served.connect() as waiting, ExitStack() as idle:
        waiting.sendall(b"POST /wait HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\na")
        new = [idle.enter_context(served.connect()) for _ in range(2)]
        kept_alive = idle.enter_context(served.connect())
        kept_alive.sendall(GET)
        for connection in new:
            assert read_until_closed(connection) == b""
        assert read_until_closed(kept_alive).startswith(b"HTTP/1.1 401 ")
        assert [each for each in served.connections() if each._phase is not Phase.RESPONSE] == []
        served.may_answer.set()
        assert waiting.recv(65_536).startswith(b"HTTP/1.1 401 ")


def test_forwarded_address_counts_from_trusted_proxies_only(
    make_server: Callable[..., Served],
) -> None:
    headers = {"x-forwarded-for": "192.0.2.1, 198.51.100.7, 127.0.0.9"}

    def client(proxies: str) -> str:
        networks = Settings(api_proxies=proxies).api.proxies
        served = make_server(ConnectionLimits(per_address=1, proxies=networks))
        with served.connect(), served.connect() as second:
            if proxies.startswith("127"):  # the limit does not apply to a proxy
                second.sendall(GET)
                assert second.recv(65_536).startswith(b"HTTP/1.1 401 ")
        return str(httpx.get(f"{served.url}/client", headers=headers, timeout=DEADLINE_S).json())

    assert client("") == "127.0.0.1"
    assert client("192.0.2.0/24") == "127.0.0.1"
    assert client("127.0.0.0/8, 203.0.113.7") == "198.51.100.7"
