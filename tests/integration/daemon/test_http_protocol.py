"""What a stranger sends before any token is looked at: requests without end (D8)."""

import select
import socket
from collections.abc import Callable, Iterator

import httpx
import pytest
from fastapi import FastAPI, Request
from tests.support.api.client import served

from goald.runtime.http import protocol as http_protocol

DEADLINE_S = 30.0


@pytest.fixture
def url() -> Iterator[str]:
    """A server as the API's, whose one route tells how long a body is."""
    app = FastAPI()

    @app.post("/length")
    async def length(request: Request) -> int:
        return len(await request.body())

    with served(app) as url:
        yield url


def connected(url: str) -> socket.socket:
    where = httpx.URL(url)
    return socket.create_connection((where.host, where.port), DEADLINE_S)


def until_closed(connection: socket.socket) -> bytes:
    """What is answered until the server closes; a reset is an end as well."""
    answer = b""
    try:
        while part := connection.recv(65_536):
            answer += part
    except ConnectionResetError:
        pass
    return answer


@pytest.mark.parametrize(
    "endless",
    [lambda n: b"x-%d: %s\r\n" % (n, b"a" * 1_000), lambda n: b"a" * 1_000],
    ids=["many headers", "one long line"],
)
def test_a_head_without_end_is_cut_off(url: str, endless: Callable[[int], bytes]) -> None:
    sent = 0
    with connected(url) as connection:
        connection.sendall(b"GET /length HTTP/1.1\r\nhost: goald\r\nx: ")
        try:
            for n in range(100_000):
                connection.sendall(endless(n))
                sent += 1_000
        except (ConnectionResetError, BrokenPipeError):
            pass
        until_closed(connection)
    assert sent < 20_000_000, "it would have taken more"


def test_who_sends_too_long_a_head_is_told(url: str) -> None:
    with connected(url) as connection:
        head = b"GET /length HTTP/1.1\r\nx: "
        connection.sendall(head.ljust(http_protocol.HEAD_BYTES + 1, b"a"))
        assert until_closed(connection).startswith(b"HTTP/1.1 431 ")


def test_who_does_not_end_a_head_loses_the_connection(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.2)
    with connected(url) as connection:
        assert until_closed(connection) == b""
    with connected(url) as connection:
        connection.sendall(b"GET /length HTTP/1.1\r\nhost:")
        assert until_closed(connection) == b""


POST = b"POST /%s HTTP/1.1\r\nhost: goald\r\ncontent-length: 9\r\n\r\nabc"


def test_who_does_not_end_a_body_loses_the_connection(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "BODY_SECONDS", 0.2)
    with connected(url) as connection:
        connection.sendall(POST % b"length")
        assert until_closed(connection) == b""


def test_who_was_answered_before_the_body_ended_must_end_it_all_the_same(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "BODY_SECONDS", 0.5)
    with connected(url) as connection:
        connection.sendall(POST % b"nowhere")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 404 ")
        connection.sendall(b"d")  # It is not idle, and was never asked for more.
        until_closed(connection)


def test_between_requests_a_connection_is_kept_longer_than_within_one(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "BODY_SECONDS", 0.2)
    with connected(url) as connection:
        for _ in range(2):
            connection.sendall(POST % b"length" + b"defghi")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
            assert not select.select([connection], [], [], 0.4)[0], "it was closed"


def test_long_bodies_and_many_requests_on_a_connection_pass(url: str) -> None:
    body = b"x" * (http_protocol.HEAD_BYTES * 8)
    with httpx.Client(base_url=url, timeout=DEADLINE_S) as client:
        for _ in range(3):
            assert client.post("/length", content=body).json() == len(body)


def test_requests_that_come_in_one_read_are_all_answered(url: str) -> None:
    head = b"POST /length HTTP/1.1\r\nhost: goald\r\ncontent-length: %d\r\n%s\r\n"
    body = b"x" * 30_000
    requests = b"".join((head % (len(body), b"")) + body for _ in range(9))
    with connected(url) as connection:
        connection.sendall(requests + head % (1, b"connection: close\r\n") + b"x")
        answers = until_closed(connection)
    assert answers.count(b"HTTP/1.1 200 ") == 10
