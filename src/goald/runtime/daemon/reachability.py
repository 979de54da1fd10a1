"""Whether a server accepts connections, checked before anything is started."""

import socket
from urllib.parse import parse_qs, unquote, urlsplit

from goald.domain.errors import ServiceUnavailable

TIMEOUT_SECONDS = 5.0
PORTS = {"redis": 6379, "rediss": 6379, "postgres": 5432, "postgresql": 5432}


def check_reachable(server: str, url: str, setting: str) -> None:
    """Open and close one connection to the address in the URL. Blocks for at most
    TIMEOUT_SECONDS.

    Raises ServiceUnavailable with host, port and cause if the connection fails; the message
    contains no user and no password. Does nothing if the URL has a form that only the client
    library understands, such as several hosts: the library reports the error then.
    """
    address = _address(url)
    if address is None:
        return
    try:
        if isinstance(address, str):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(TIMEOUT_SECONDS)
                client.connect(address)
        else:
            socket.create_connection(address, TIMEOUT_SECONDS).close()
    except OSError as error:
        place = address if isinstance(address, str) else f"{address[0]}:{address[1]}"
        raise ServiceUnavailable(
            f"Cannot connect to {server} at {place}: {_cause(error)}. "
            f"Check that it is running and that {setting} is right."
        ) from error


def _address(url: str) -> tuple[str, int] | str | None:
    """(host, port), or the path of a Unix socket; None if the URL does not say it plainly."""
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError:
        return None
    if split.scheme == "unix":
        return unquote(split.path) or None
    default = PORTS.get(split.scheme)
    query = parse_qs(split.query)
    if default is None or {"host", "hostaddr", "port", "service"} & query.keys():
        return None
    if not split.hostname or "," in split.netloc:
        return None
    return unquote(split.hostname), port or default


def _cause(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_SECONDS:.0f} s"
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]
