"""The number of connections, in total and of one address, is limited (D8)."""

from collections.abc import Callable
from contextlib import ExitStack

import httpx
import pytest
from tests.integration.http_edge.served import (
    DEADLINE_S,
    GET,
    Served,
    read_until_closed,
    until,
)

from goald.runtime.http import connections
from goald.runtime.http import protocol as http_protocol
from goald.runtime.http.connections import ConnectionLimits
from goald.runtime.http.protocol import Phase
from goald.settings import Settings


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


def test_a_client_that_repeats_a_refused_request_has_no_growing_number_of_connections(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REFUSED_CONNECTIONS", 3)
    monkeypatch.setattr(http_protocol, "LINGER_SECONDS", DEADLINE_S * 2)
    for number in range(8):
        with served.connect(f"127.0.0.{number + 2}") as refused:
            refused.sendall(b"no HTTP\r\n\r\n")
            assert read_until_closed(refused).startswith(b"HTTP/1.1 400 ")
    until(lambda: len(served.connections()) == 3, "three refused connections")
    assert all(each.cycle is None and each.scope is None for each in served.connections())


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
