"""The socket of the API: where it is, and what is said where it cannot be had."""

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
def test_who_comes_before_it_is_served_waits(host: str) -> None:
    try:
        with bind(host, 0, **API) as taken:
            assert connects(url_of(taken, host))
    except StartError:
        if ":" in host and not _has_ipv6():
            pytest.skip("this machine has no IPv6")
        raise


def test_all_addresses_of_the_machine_are_those_of_both_families() -> None:
    if not _has_ipv6():
        pytest.skip("this machine has no IPv6")
    with bind("::", 0, **API) as taken:
        assert connects(url_of(taken, "127.0.0.1"))


def test_a_host_that_is_not_ours_is_named_with_what_to_do() -> None:
    with (
        pytest.raises(StartError, match=r"192\.0\.2\.1.*GOALD_API_HOST"),
        bind("192.0.2.1", 0, **API),
    ):
        pass


def test_a_port_is_free_again_after_it() -> None:
    with bind("127.0.0.1", 0, **API) as taken:
        port = int(taken.getsockname()[1])
        with pytest.raises(StartError, match=f"{port}.*GOALD_API_PORT"):
            bind("127.0.0.1", port, **API).__enter__()
    with bind("127.0.0.1", port, **API) as taken:
        assert connects(url_of(taken, "127.0.0.1"))


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False
