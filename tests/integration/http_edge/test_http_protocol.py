"""The HTTP server limits the size and duration of unauthenticated requests (D8)."""

import select
import socket
from collections.abc import Callable, Iterator

import httpx
import pytest
from fastapi import FastAPI, Request
from tests.support.api.client import served

from goald.runtime.http import bounds
from goald.runtime.http import protocol as http_protocol

DEADLINE_S = 30.0


@pytest.fixture
def url() -> Iterator[str]:
    """A server like that of the API. Its only route returns the length of the body."""
    app = FastAPI()

    @app.post("/length")
    async def length(request: Request) -> int:
        return len(await request.body())

    with served(app) as url:
        yield url


def connected(url: str) -> socket.socket:
    address = httpx.URL(url)
    return socket.create_connection((address.host, address.port), DEADLINE_S)


def read_until_closed(connection: socket.socket) -> bytes:
    """The bytes that the server sends until it closes or resets the connection."""
    received = b""
    try:
        while chunk := connection.recv(65_536):
            received += chunk
    except ConnectionResetError:
        pass
    return received


@pytest.mark.parametrize(
    "endless",
    [lambda n: b"x-%d: %s\r\n" % (n, b"a" * 1_000), lambda n: b"a" * 1_000],
    ids=["many headers", "one long line"],
)
def test_endless_head_closes_the_connection(url: str, endless: Callable[[int], bytes]) -> None:
    sent = 0
    with connected(url) as connection:
        connection.sendall(b"GET /length HTTP/1.1\r\nhost: goald\r\nx: ")
        try:
            for n in range(100_000):
                connection.sendall(endless(n))
                sent += 1_000
        except (ConnectionResetError, BrokenPipeError):
            pass
        read_until_closed(connection)
    assert sent < 20_000_000, "the server accepts more"


def test_too_long_head_gets_431(url: str) -> None:
    with connected(url) as connection:
        head = b"GET /length HTTP/1.1\r\nx: "
        connection.sendall(head.ljust(bounds.HEAD_BYTES + 1, b"a"))
        response = read_until_closed(connection)
    assert response.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")


def test_incomplete_head_closes_the_connection(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.2)
    with connected(url) as connection:
        assert read_until_closed(connection) == b""
    with connected(url) as connection:
        connection.sendall(b"GET /length HTTP/1.1\r\nhost:")
        assert read_until_closed(connection) == b""


POST = b"POST /%s HTTP/1.1\r\nhost: goald\r\ncontent-length: 9\r\n\r\nabc"


def test_incomplete_body_closes_the_connection(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "BODY_SECONDS", 0.2)
    with connected(url) as connection:
        connection.sendall(POST % b"length")
        assert read_until_closed(connection) == b""


def test_incomplete_body_closes_the_connection_after_an_early_response(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "BODY_SECONDS", 0.5)
    with connected(url) as connection:
        connection.sendall(POST % b"nowhere")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 404 ")
        connection.sendall(b"d")  # not idle; the server has not requested more
        read_until_closed(connection)


def test_idle_connection_is_kept_longer_than_an_incomplete_request(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "BODY_SECONDS", 0.2)
    with connected(url) as connection:
        for _ in range(2):
            connection.sendall(POST % b"length" + b"defghi")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
            assert not select.select([connection], [], [], 0.4)[0], "the connection was closed"


def test_connection_accepts_several_long_bodies(url: str) -> None:
    body = b"x" * (bounds.HEAD_BYTES * 8)
    with httpx.Client(base_url=url, timeout=DEADLINE_S) as client:
        for _ in range(3):
            assert client.post("/length", content=body).json() == len(body)


def test_pipelined_requests_all_get_a_response(url: str) -> None:
    head = b"POST /length HTTP/1.1\r\nhost: goald\r\ncontent-length: %d\r\n%s\r\n"
    body = b"x" * 30_000
    requests = b"".join((head % (len(body), b"")) + body for _ in range(9))
    with connected(url) as connection:
        connection.sendall(requests + head % (1, b"connection: close\r\n") + b"x")
        responses = read_until_closed(connection)
    assert responses.count(b"HTTP/1.1 200 ") == 10
