"""The addresses of clients, as limits count them."""

import ipaddress

from starlette.requests import HTTPConnection

_MAX_LENGTH = 64


def address_key(address: str) -> str:
    """The text under which an address is counted: an IPv4 address, or the /64 network of an IPv6
    address, because a host has all of it. Anything else counts as it is, cut to 64 characters: a
    trusted proxy may report it."""
    if ":" not in address:
        return address[:_MAX_LENGTH]
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address[:_MAX_LENGTH]
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((parsed, 64), strict=False))


def client_key(request: HTTPConnection) -> str:
    """The key of the client that sent a request. Behind a trusted proxy (GOALD_API_PROXIES) that
    is the client of the proxy, otherwise the peer of the connection."""
    return address_key(request.client.host if request.client is not None else "")
