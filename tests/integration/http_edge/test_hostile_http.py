"""Hostile bytes in any phase of a connection: the server bounds their number and their time, and
serves others (D8)."""

import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.http_edge.served import (
    CHUNKED,
    DEADLINE_S,
    DENIED,
    GET,
    Served,
    read_until,
    read_until_closed,
    until,
)
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT

from goald.runtime.http import bounds, fair_queue
from goald.runtime.http import protocol as http_protocol
from goald.runtime.http.reads import READ_BYTES

KERNEL_BYTES = 16 << 20
"""More than the kernel buffers of one connection."""


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


def test_a_body_with_content_length_may_arrive_in_many_small_reads(served: Served) -> None:
    served.server._buffer = memoryview(bytearray(16))
    body = b"a" * 20_000
    with served.connect() as connection:
        connection.sendall(
            b"POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        )
        assert read_until(connection, b"\r\n\r\n%d" % len(body)).startswith(b"HTTP/1.1 200 ")


def test_time_in_the_queue_does_not_count_against_the_client(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(fair_queue, "PER_TURN", 0)
    assert served.is_alive()  # from the turn after this request on, everything waits
    with served.connect() as connection:
        connection.sendall(GET)
        until(lambda: bool(served.server.queue.waiting), "a read that waits")
        time.sleep(1.5)  # for checks of all connections
        monkeypatch.setattr(fair_queue, "PER_TURN", 1)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 401 ")


def test_time_until_the_application_reads_does_not_count_against_the_client(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "BODY_SECONDS", 0.3)
    with served.connect() as connection:
        connection.sendall(b"POST /wait HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc")
        until(lambda: any(each.flow.read_paused for each in served.connections()), "a full buffer")
        time.sleep(1.5)  # for checks of all connections
        served.may_answer.set()
        assert connection.recv(65_536).startswith(b"HTTP/1.1 401 ")


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
            assert read_until(connection, b"\r\n\r\n%d" % len(body)).startswith(b"HTTP/1.1 200 ")
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
        request = protocol.cycle
        assert 0 < len(request.body) <= READ_BYTES
        served.may_answer.set()
        until(lambda: not request.body, "the body of an answered request is kept")


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
