"""How many connections the API accepts, in all and from one address (D8)."""

import ipaddress
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from goald.api.addresses import address_key
from goald.runtime.open_files import raise_limit
from goald.settings import Network

CONNECTIONS = 4_096
"""Concurrent connections. Bounds memory."""
ADDRESS_CONNECTIONS = 512
CROWDED_SHARE = 0.5
"""From this share of all connections on, idle ones are closed early."""
REFUSED_CONNECTIONS = 256
"""Refused connections that stay open, so that their clients can read the response."""
_OTHER_FILES = 256


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits on concurrent connections."""

    total: int = CONNECTIONS
    per_address: int = ADDRESS_CONNECTIONS
    proxies: Sequence[Network] = ()
    """Networks of trusted proxies, to which `per_address` does not apply."""


class RefusedConnection(Protocol):
    """A connection that can be ended."""

    def abort(self) -> None:
        """End the connection immediately."""


class ConnectionTable:
    """The open connections of one server, counted by address (`api.addresses.address_key`), and
    those among them that were refused."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._by_address: Counter[str] = Counter()
        self._count = 0
        self._refused: dict[RefusedConnection, None] = {}
        """In the order of their refusal."""

    def add(self, address: str) -> bool:
        """Count a new connection from this address. Returns False, having counted nothing, if
        there are too many."""
        if self._count >= self._limits.total:
            return False
        key = address_key(address)
        if self._by_address[key] >= self._limits.per_address and not self._is_proxy(address):
            return False
        self._by_address[key] += 1
        self._count += 1
        return True

    def remove(self, address: str) -> None:
        """Discount a connection that `add` counted."""
        key = address_key(address)
        self._by_address[key] -= 1
        self._count -= 1
        if not self._by_address[key]:
            del self._by_address[key]

    def add_refused(self, connection: RefusedConnection) -> None:
        """Keep a refused connection until `remove_refused`. Ends the oldest if there are
        more than REFUSED_CONNECTIONS: otherwise their number would grow while clients close a
        refused connection and open another."""
        self._refused[connection] = None
        if len(self._refused) > REFUSED_CONNECTIONS:
            first = next(iter(self._refused))
            del self._refused[first]
            first.abort()

    def remove_refused(self, connection: RefusedConnection) -> None:
        """Forget a connection that has ended; nothing if it was not refused."""
        self._refused.pop(connection, None)

    @property
    def is_crowded(self) -> bool:
        """Whether a large share of all connections is open."""
        return self._count >= self._limits.total * CROWDED_SHARE

    def _is_proxy(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._limits.proxies)


def available_connections() -> int:
    """Raise the limit of open files as far as allowed, and return how many connections fit:
    CONNECTIONS, or fewer if the limit is lower."""
    limit = raise_limit()
    if limit is None:
        return CONNECTIONS
    return max(1, min(CONNECTIONS, limit - _OTHER_FILES))
