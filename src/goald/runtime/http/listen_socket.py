"""A listening TCP socket, bound before anything else is started, so that a port in use ends the
start immediately."""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from goald.domain.errors import StartError
from goald.settings import Settings

API_PORT = 8080
BACKLOG = 2_048
"""Connections that wait to be accepted."""


@contextmanager
def bind(host: str, port: int, *, what: str, setting: str) -> Iterator[socket.socket]:
    """Yields a socket that listens on this host (an address or a name) and port; port 0 picks any
    free one. Connections wait in the backlog until they are accepted. The socket is closed at the
    end of the `with` block.

    Raises StartError if the address cannot be bound. `what` is the thing to be served, such as
    "the API", and `setting` the prefix of the settings for host and port; both are for the
    message.
    """
    try:
        listen_socket = _create(host, port)
    except OSError as error:
        raise StartError(bind_error(host, port, error, what, setting)) from error
    with listen_socket:
        yield listen_socket


@contextmanager
def api_socket(
    settings: Settings, *, embedded: bool = False
) -> Iterator[tuple[socket.socket, str]]:
    """Yields the API's listen socket as the settings define it, and its URL. Raises StartError if
    the address cannot be bound."""
    port = settings.api_port
    if port is None:
        port = 0 if embedded else API_PORT
    with bind(settings.api_host, port, what="the API", setting="GOALD_API") as listen_socket:
        yield listen_socket, url_of(listen_socket, settings.api_host)


def url_of(listen_socket: socket.socket, host: str) -> str:
    """The URL by which a client on this machine reaches the socket."""
    return f"http://{host_in_url(host)}:{listen_socket.getsockname()[1]}"


def host_in_url(host: str) -> str:
    """The host as written in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def bind_error(host: str, port: int, error: OSError, what: str, setting: str) -> str:
    """Why the address could not be bound, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return (
            f"Cannot serve {what} on {host}:{port}: the port is in use by another program. Set "
            f"{setting}_PORT to another port, or to 0 for any free port."
        )
    return (
        f"Cannot serve {what} on {host}:{port}: {error.strerror or error}. "
        f"Check {setting}_HOST and {setting}_PORT."
    )


def _create(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    both = family == socket.AF_INET6 and host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=both)
