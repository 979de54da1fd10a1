"""The listen socket of the API: where it listens, and the error if it cannot be bound."""

import socket

import httpx
import pytest

from goald.domain.errors import StartError
from goald.runtime.http.listen_socket import bind, url_of

API = {"what": "the API", "setting": "GOALD_API"}


def connects(url: str) -> bool:
    where = httpx.URL(url)
    with socket.create_connection((where.host, where.port), 10):
        return True


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "::"])
def test_a_client_can_connect_before_requests_are_served(host: str) -> None:
    try:
        with bind(host, 0, **API) as listen_socket:
            assert connects(url_of(listen_socket, host))
    except StartError:
        if ":" in host and not _has_ipv6():
            pytest.skip("this machine has no IPv6")
        raise


def test_the_ipv6_wildcard_address_accepts_ipv4_too() -> None:
    if not _has_ipv6():
        pytest.skip("this machine has no IPv6")
    with bind("::", 0, **API) as listen_socket:
        assert connects(url_of(listen_socket, "127.0.0.1"))


def test_the_error_for_a_foreign_address_names_it_and_the_setting() -> None:
    with (
        pytest.raises(StartError, match=r"192\.0\.2\.1.*GOALD_API_HOST"),
        bind("192.0.2.1", 0, **API),
    ):
        pass


def test_the_port_is_free_again_after_the_body() -> None:
    with bind("127.0.0.1", 0, **API) as listen_socket:
        port = int(listen_socket.getsockname()[1])
        with pytest.raises(StartError, match=f"{port}.*GOALD_API_PORT"):
            bind("127.0.0.1", port, **API).__enter__()
    with bind("127.0.0.1", port, **API) as listen_socket:
        assert connects(url_of(listen_socket, "127.0.0.1"))


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False
