"""Which addresses goald may connect to for a tenant (SSRF)."""

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias

from goald.domain.errors import PermanentError

Address: TypeAlias = IPv4Address | IPv6Address

_PRIVATE: Final = tuple(
    map(
        IPv4Network,
        ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    )
)
_PRIVATE_6: Final = (IPv6Network("::1/128"), IPv6Network("fc00::/7"))
_RESERVED: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
            "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        ),
    )
)  # fmt: skip
_GLOBAL_6: Final = IPv6Network("2000::/3")
_RESERVED_6: Final = (
    IPv6Network("2001::/23"),  # with Teredo
    IPv6Network("2001:db8::/32"),
    IPv6Network("2002::/16"),  # 6to4
    IPv6Network("3fff::/20"),
)
"""Within 2000::/3. Everything else that is not global, such as mapped IPv4 addresses and NAT64, is
outside of it."""


_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)


class DestinationRefused(PermanentError):
    """A tenant's URL leads to an address that goald does not connect to. The message names no
    address, because it would show the network to the tenant."""


@dataclass(frozen=True, slots=True)
class DestinationPolicy:
    """Decides about the addresses that a host name resolves to."""

    allows_private: bool = False
    """Whether private and loopback addresses are allowed (GOALD_WEBHOOK_ALLOW_PRIVATE)."""
    own_servers: Collection[tuple[Address, int]] = ()
    """goald's own servers, by address and port. They are refused always; so are their ports at any
    address that is not global, because a server may listen at all addresses of a host."""

    def check(self, addresses: Collection[str], port: int) -> None:
        """Raises DestinationRefused unless every address is allowed with this port. A host with one
        refused address is refused."""
        parsed = [ip_address(each.partition("%")[0]) for each in addresses]
        if not parsed:
            raise DestinationRefused("the host has no address")
        if any(not self._allows(each, port) for each in parsed):
            raise DestinationRefused("the host has an address that goald does not connect to")

    def _allows(self, address: Address, port: int) -> bool:
        if (address, port) in self.own_servers:
            return False
        if is_global(address):
            return True
        is_own_port = any(port == own for _, own in self.own_servers)
        return self.allows_private and not is_own_port and is_private(address)


def literal_address(host: str) -> Address | None:
    """The address that a host is; None if the host is a name. Raises DestinationRefused for the
    legacy forms of IPv4 that operating systems read, such as 127.1, 2130706433, 0x7f.1 and
    0177.0.0.1: a host whose last label is a number is an address, and only the form with four
    decimal numbers is accepted."""
    text = unicodedata.normalize("NFKC", host).replace("\u3002", ".")
    text = text.strip("[]").removesuffix(".")
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        pass
    if _NUMBER.fullmatch(text.rpartition(".")[2]) or ":" in text:
        raise DestinationRefused("the host is an address in a form that goald does not accept")
    return None


def host_of(url: str) -> str | None:
    """The host of a URL with its port, in lower case; None if it has none."""
    authority = re.split(r"[/?#\\]", url.partition("://")[2], maxsplit=1)[0]
    return authority.rpartition("@")[2].lower() or None


def is_private(address: Address) -> bool:
    """Whether it is a private, shared or loopback address."""
    if isinstance(address, IPv4Address):
        return any(address in network for network in _PRIVATE)
    return any(address in network for network in _PRIVATE_6)


def is_global(address: Address) -> bool:
    """Whether it is the address of a host on the Internet, and contains no other address."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in (*_PRIVATE, *_RESERVED))
    return address in _GLOBAL_6 and not any(address in network for network in _RESERVED_6)
