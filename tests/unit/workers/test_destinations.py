"""Addresses that goald does not connect to for a tenant (SSRF)."""

from ipaddress import ip_address

import pytest

from goald.domain.actions.destinations import DestinationPolicy, DestinationRefused, literal_address

PUBLIC = ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "172.32.0.1"]
PRIVATE = ["10.0.0.1", "127.0.0.1", "127.9.9.9", "172.16.0.1", "172.31.255.255", "192.168.1.1",
           "100.64.0.1", "::1", "fd00::1"]  # fmt: skip
NEVER = [
    "0.0.0.0", "0.1.2.3", "169.254.169.254", "192.0.2.1", "198.18.0.1", "203.0.113.9",  # noqa: S104
    "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.88.99.1",
    "::", "fe80::1", "fe80::1%eth0", "ff02::1", "::ffff:10.0.0.1", "::ffff:8.8.8.8",
    "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::1", "2001:0:4136::1", "2001:db8::1",
    "::127.0.0.1", "100::1", "3fff::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    DestinationPolicy().check([address], 443)


@pytest.mark.parametrize("address", [*PRIVATE, *NEVER])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(DestinationRefused):
        DestinationPolicy().check([address], 443)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_can_be_allowed(address: str) -> None:
    DestinationPolicy(allows_private=True).check([address], 443)


@pytest.mark.parametrize("address", NEVER)
def test_special_addresses_cannot(address: str) -> None:
    with pytest.raises(DestinationRefused):
        DestinationPolicy(allows_private=True).check([address], 443)


def test_each_address_of_a_host_is_checked() -> None:
    with pytest.raises(DestinationRefused):
        DestinationPolicy().check([PUBLIC[0], "10.0.0.1"], 443)
    with pytest.raises(DestinationRefused):
        DestinationPolicy().check([], 443)


def test_own_servers_are_refused_even_where_private_addresses_are_allowed() -> None:
    own = [(ip_address("127.0.0.1"), 6379), (ip_address(PUBLIC[0]), 5432)]
    policy = DestinationPolicy(allows_private=True, own_servers=own)
    policy.check(["127.0.0.1"], 8080)
    policy.check([PUBLIC[1]], 6379)
    for address, port in (
        ("127.0.0.1", 6379),
        ("10.0.0.5", 6379),
        ("::1", 6379),
        (PUBLIC[0], 5432),
    ):
        with pytest.raises(DestinationRefused):
            policy.check([address], port)


LEGACY = ["127.1", "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "017700000001", "127.0.1",
          "127.0.0.01", "127.0.0.0x1", "1.2.3.4.5", "999.1.1.1", "127.1.", "example.123", "0x",
          "１２７.１", "127。1", "::ffff:1.2.3.4.5"]  # fmt: skip


@pytest.mark.parametrize("host", LEGACY)
def test_a_legacy_form_of_an_address_is_refused(host: str) -> None:
    with pytest.raises(DestinationRefused):
        literal_address(host)


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "127.0.0.1"), ("127.0.0.1.", "127.0.0.1"), ("[::1]", "::1"),
     ("fe80::1%eth0", "fe80::1"), ("１２７.0.0.1", "127.0.0.1"), ("example.com", None),
     ("1.example", None), ("0x7f.example.com.", None), ("a1", None), ("xn--p1ai", None)],
)  # fmt: skip
def test_a_host_is_an_address_or_a_name(host: str, address: str | None) -> None:
    assert literal_address(host) == (ip_address(address) if address else None)


def test_an_error_names_no_address() -> None:
    with pytest.raises(DestinationRefused) as refused:
        DestinationPolicy().check(["10.1.2.3"], 443)
    assert "10.1.2.3" not in str(refused.value)
