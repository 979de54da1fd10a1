"""goald's own servers, from the URLs at which they are reached (SSRF)."""

from ipaddress import ip_address

import pytest

from goald.adapters.own_servers import own_servers
from goald.domain.actions.destinations import DestinationPolicy, DestinationRefused


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        ("redis://10.0.0.1", {("10.0.0.1", 6379)}),
        ("rediss://user:p%40ss@10.0.0.1:6380/1", {("10.0.0.1", 6380)}),
        ("redis://[fd00::1]:7000", {("fd00::1", 7000)}),
        ("unix:///run/redis.sock", set()),
        (
            "postgresql://u:p@10.0.0.1:5433,10.0.0.2/db",
            {("10.0.0.1", 5433), ("10.0.0.2", 5432)},
        ),
        ("postgresql:///db?host=10.0.0.3&port=6000", {("10.0.0.3", 6000)}),
        ("postgresql:///db?host=/run/postgresql", set()),
        ("postgresql://%2Frun%2Fpostgresql/db", set()),
        ("http://127.0.0.1:8080", {("127.0.0.1", 8080)}),
    ],
)
def test_the_servers_of_a_url(url: str, servers: set[tuple[str, int]]) -> None:
    assert own_servers([url]) == {(ip_address(host), port) for host, port in servers}


@pytest.mark.parametrize(
    "url", ["http://0.0.0.0:9464/metrics", "redis://no-such-host.invalid:9464"]
)
def test_a_server_without_a_known_address_is_protected_on_this_machine(url: str) -> None:
    policy = DestinationPolicy(allows_private=True, own_servers=own_servers([url]))
    for address in ("127.0.0.1", "::1", "192.168.0.7"):
        with pytest.raises(DestinationRefused):
            policy.check([address], 9464)
        policy.check([address], 9465)
