"""The addresses at which goald's own servers listen, which no webhook may call."""

import contextlib
import socket
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import Final
from urllib.parse import parse_qs, urlsplit

from goald.domain.actions.destinations import Address

_DEFAULT_PORTS: Final = {
    "redis": 6379, "rediss": 6379, "postgresql": 5432, "postgres": 5432, "http": 80, "https": 443,
}  # fmt: skip
_ANYWHERE: Final = (("192.0.2.1", socket.AF_INET), ("2001:db8::1", socket.AF_INET6))


def own_servers(urls: Iterable[str]) -> frozenset[tuple[Address, int]]:
    """The addresses and ports of the servers at these URLs. Resolves names, which may block. A name
    that cannot be resolved, and a server that listens at all addresses, count for every address of
    this machine. Unix sockets are left out."""
    return frozenset(
        (address, port)
        for url in urls
        for host, port in _hosts(url)
        for address in _addresses(host, port)
    )


def _hosts(url: str) -> Iterator[tuple[str, int]]:
    """The hosts and ports of a URL; Postgres may have several, also in its query."""
    parts = urlsplit(url)
    default = _DEFAULT_PORTS.get(parts.scheme)
    if default is None:
        return
    query = parse_qs(parts.query)
    ports = ",".join(query.get("port", [])).split(",")
    listed = [each for each in parts.netloc.rpartition("@")[2].split(",") if each]
    listed += [each for value in query.get("host", []) for each in value.split(",")]
    for number, each in enumerate(listed):
        if each.startswith(("/", "%2F", "%2f")):
            continue
        split = urlsplit(f"//[{each}]" if each.count(":") > 1 and "[" not in each else f"//{each}")
        given = ports[number] if number < len(ports) else ports[-1]
        port = split.port or (int(given) if given.isdecimal() else default)
        yield split.hostname or "localhost", port


def _addresses(host: str, port: int) -> set[Address]:
    found: set[Address] = set()
    with contextlib.suppress(OSError):
        resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        found = {ip_address(str(each[4][0]).partition("%")[0]) for each in resolved}
    if not found or any(each.is_unspecified for each in found):
        found.update(_of_this_machine())
    return found


def _of_this_machine() -> Iterator[Address]:
    for local in ("127.0.0.1", "::1"):
        yield ip_address(local)
    for anywhere, family in _ANYWHERE:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((anywhere, 9))  # sends nothing
            yield ip_address(probe.getsockname()[0])
