"""A TCP socket that listens: taken before anything else is started, so that a port that is
taken ends the start at once."""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from goald.domain.errors import StartError

BACKLOG = 2_048
"""Connections that wait to be accepted."""


@contextmanager
def listening(host: str, port: int, *, what: str, setting: str) -> Iterator[socket.socket]:
    """A socket that listens on a host, by address or name, and port; 0 is any free one. Who
    connects waits until it is served. Closed at the end of the body.

    StartError where it cannot be had: `what` was to be served there, such as "the API", and
    `setting` is the prefix of the settings that say where.
    """
    try:
        taken = _taken(host, port)
    except OSError as error:
        raise StartError(why_not(host, port, error, what, setting)) from error
    with taken:
        yield taken


def url_of(taken: socket.socket, host: str) -> str:
    """Where a client of this machine finds it."""
    return f"http://{in_url(host)}:{taken.getsockname()[1]}"


def in_url(host: str) -> str:
    """A host as URLs write it."""
    return f"[{host}]" if ":" in host else host


def why_not(host: str, port: int, error: OSError, what: str, setting: str) -> str:
    """Why a port could not be taken, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return (
            f"another program listens on {host}:{port}, where {what} was to be served: set "
            f"{setting}_PORT to another port, or to 0 for any that is free"
        )
    return (
        f"{what} cannot be served on {host}:{port}: {error.strerror or error}. "
        f"Set {setting}_HOST and {setting}_PORT"
    )


def _taken(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    both = family == socket.AF_INET6 and host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=both)
