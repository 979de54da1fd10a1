"""Requests that a server must refuse (RFC 9112), and pipelined requests."""

import socket

import pytest
from tests.integration.http_edge.served import GET, Served, read_until, read_until_closed, until

from goald.runtime.http import bounds

HOST = b"host: a\r\n"
CLOSE = b"connection: close\r\n"


def exchange(served: Served, request: bytes, *, half_close: bool = False) -> bytes:
    with served.connect() as connection:
        connection.sendall(request)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        return read_until_closed(connection)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /deny HTTP/1.1\r\n" + CLOSE + b"\r\n", 400),
        (b"GET /deny HTTP/1.1\r\n" + HOST + b"host: b\r\n\r\n", 400),
        (b"GET /deny HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
        (b"GET /deny HTTP/1.0\r\n" + HOST + HOST + b"\r\n", 400),
        (b"GET /deny HTTP/1.0\r\n\r\n", 401),
        (b"GET /deny HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n", 401),
        (b"GET /deny\r\n\r\n", 505),
        (b"GET /deny HTTP/0.9\r\n" + HOST + b"\r\n", 505),
        (b"GET /deny HTTP/1.2\r\n" + HOST + b"\r\n", 400),
        (b"GET /deny HTTP/3.0\r\n" + HOST + b"\r\n", 400),
    ],
)
def test_host_and_version(served: Served, request_bytes: bytes, status: int) -> None:
    assert exchange(served, request_bytes).startswith(b"HTTP/1.1 %d " % status)
    assert served.is_alive()


@pytest.mark.parametrize(
    ("version", "coding", "statuses"),
    [
        (b"1.1", b"chunked", [200]),
        (b"1.1", b"Chunked", [200]),
        (b"1.1", b"gzip, chunked", [501]),
        (b"1.1", b"chunked, chunked", [501, 400]),
        (b"1.1", b"chunked\r\ntransfer-encoding: chunked", [501, 400]),
        (b"1.1", b"gzip", [501, 400]),
        (b"1.1", b"chunked, identity", [501, 400]),
        (b"1.1", b"identity", [501, 400]),
        (b"1.0", b"chunked", [400]),
    ],
)
def test_only_the_chunked_transfer_coding(
    served: Served, version: bytes, coding: bytes, statuses: list[int]
) -> None:
    """A body with another coding would be read as if it were plain."""
    head = b"POST /read HTTP/%s\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: %s\r\n\r\n"
    response = exchange(served, head % (version, coding) + b"1\r\nx\r\n0\r\n\r\n")
    assert int(response.split(b" ")[1]) in statuses
    assert response.count(b"HTTP/1.1 4") + response.count(b"HTTP/1.1 5") <= 1


def test_too_many_pipelined_requests_get_the_first_responses_and_a_rejection(
    served: Served,
) -> None:
    received = exchange(served, GET * 40)
    assert received.count(b"HTTP/1.1 401 ") >= bounds.PIPELINE
    *_, last = received.split(b"HTTP/1.1 ")
    assert last.startswith(b"400 ")
    assert b"pipelined" in last


def test_invalid_request_is_answered_after_the_requests_before_it(served: Served) -> None:
    received = exchange(served, GET * 3 + b"GET /deny HTTP/1.1\r\n\r\n" + GET)
    statuses = [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"401", b"401", b"401", b"400"]


def test_rejection_waits_for_the_response_to_an_earlier_request(served: Served) -> None:
    wait = b"POST /wait HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"
    with served.connect() as connection:
        connection.sendall(wait + b"POST /read HTTP/1.1\r\n\r\n")
        until(lambda: len(served.connections()) == 1, "no connection")
        served.may_answer.set()
        received = read_until_closed(connection)
    assert [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]] == [b"401", b"400"]


def test_pipelined_requests_before_a_half_close_get_all_responses(served: Served) -> None:
    received = exchange(served, GET * 4, half_close=True)
    assert received.count(b"HTTP/1.1 401 ") == 4


def test_request_before_a_half_close_gets_its_response_later(served: Served) -> None:
    wait = b"POST /wait HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"
    with served.connect() as connection:
        connection.sendall(wait)
        connection.shutdown(socket.SHUT_WR)
        until(lambda: len(served.connections()) == 1, "no connection")
        served.may_answer.set()
        assert read_until_closed(connection).startswith(b"HTTP/1.1 401 ")


def test_incomplete_request_before_a_half_close_is_dropped(served: Served) -> None:
    incomplete = b"POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc"
    assert exchange(served, incomplete, half_close=True) == b""
    received = exchange(served, GET * 2 + incomplete, half_close=True)
    assert received.count(b"HTTP/1.1 ") == 2


def test_connection_without_requests_ends_at_a_half_close(served: Served) -> None:
    assert exchange(served, b"", half_close=True) == b""
    with served.connect() as connection:
        connection.sendall(GET)
        read_until(connection, b"\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        assert read_until_closed(connection) == b""


def test_a_response_without_a_body_is_sent_while_the_connection_stays_open(
    served: Served,
) -> None:
    """The head of other responses waits for their body."""
    with served.connect() as connection:
        for _ in range(2):
            connection.sendall(b"HEAD /deny HTTP/1.1\r\nhost: a\r\n\r\n")
            assert read_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 4")


def test_a_client_that_waits_for_100_continue_is_asked_for_the_body_first(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(
            b"POST /read HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 1\r\n"
            + CLOSE
            + b"\r\n"
        )
        assert read_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"x")
        assert read_until_closed(connection).startswith(b"HTTP/1.1 200 ")
