"""The port of /metrics: what clients send is bounded in bytes, time and number (D8)."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
from prometheus_client import CollectorRegistry
from tests.integration.http_edge.served import DEADLINE_S, read_until_closed

from goald.runtime.heartbeat import exporter_server
from goald.runtime.heartbeat.exporter import Exporter


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    with Exporter("127.0.0.1", 0, CollectorRegistry()) as exporter:
        yield exporter


def connect(exporter: Exporter) -> socket.socket:
    where = httpx.URL(exporter.url)
    return socket.create_connection((where.host, where.port), DEADLINE_S)


def test_further_connections_are_closed_and_a_scrape_works_afterwards(exporter: Exporter) -> None:
    with ExitStack() as clients:
        for _ in range(exporter_server.CONNECTIONS):
            clients.enter_context(connect(exporter)).sendall(b"GET /")
        with connect(exporter) as refused:
            assert read_until_closed(refused) == b""

    def scrape() -> bool:
        try:
            return httpx.get(exporter.url, timeout=DEADLINE_S).status_code == 200
        except httpx.TransportError:
            return False

    assert any(scrape() for _ in range(1_000))


def test_a_slow_client_is_disconnected(exporter: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter_server, "SECONDS", 0.3)
    with connect(exporter) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nx: ")
        assert read_until_closed(connection) == b""


def test_bytes_beyond_the_bound_are_not_read(exporter: Exporter) -> None:
    """The head ends at the bound, although the client has not ended it."""
    head = b"GET /metrics HTTP/1.0\r\nx: "
    with connect(exporter) as connection:
        connection.sendall(head.ljust(exporter_server.REQUEST_BYTES, b"a"))
        assert read_until_closed(connection).startswith(b"HTTP/1.0 200 ")
