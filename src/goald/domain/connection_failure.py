"""Explains why a connection to Redis or Postgres failed and how to fix it."""

import os
import re
from collections.abc import Iterator

_CAUSES = {
    "ConnectionRefusedError": "connection refused",
    "FileNotFoundError": "the socket does not exist",
    "PermissionError": "permission denied",
    "TimeoutError": "no answer in time",
    "ConnectionResetError": "connection reset by the server",
    "BrokenPipeError": "connection closed by the server",
    "IncompleteReadError": "connection closed by the server",
    "gaierror": "unknown host name",
    "No such file or directory": "the socket does not exist",
}
_ERRNO = re.compile(r"\[Errno (\d+)\]|Error (\d+) ")
_LIBPQ = re.compile(r".*failed: (?!FATAL|ERROR)([^\n]+)")
_TIMED_OUT = re.compile(r"timeout expired", re.IGNORECASE)


def failure_cause(error: BaseException) -> str | None:
    """Why a connection could not be made or was lost, in a few words, such as "connection
    refused". None if the error is of another kind: the server answered."""
    for each in _chain(error):
        if isinstance(each, OSError | EOFError):
            if known := _CAUSES.get(type(each).__name__):
                return known
            number = each.errno if isinstance(each, OSError) else None
            if number or (number := _errno_in(str(each))):
                return os.strerror(number).lower()
    for each in _chain(error):  # libpq and redis-py report the cause only in their text
        text = str(each)
        if number := _errno_in(text):
            return os.strerror(number).lower()
        if _TIMED_OUT.search(text):
            return _CAUSES["TimeoutError"]
        if type(each).__name__ == "OperationalError" and (found := _LIBPQ.search(text)):
            reason = found[1].strip()
            return _CAUSES.get(reason, reason.lower())
    return None


def cannot_connect(service: str, address: str, cause: str, advice: str) -> str:
    """The message: what failed, where, why, and how to fix it."""
    return f"Cannot connect to {service} at {address}: {cause}. {advice}"


def address_of(url: str) -> str:
    """HOST:PORT or the socket's path of a Redis URL or a Postgres DSN, without any password."""
    from urllib.parse import parse_qs, unquote, urlsplit

    if "://" not in url:  # a DSN of keywords
        words = dict(re.findall(r"(\w+)\s*=\s*('[^']*'|\S+)", url))
        host, port = words.get("host", "localhost").strip("'"), words.get("port", "5432").strip("'")
        return f"{host}/.s.PGSQL.{port}" if host.startswith("/") else f"{host}:{port}"
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return unquote(parts.path)
    is_redis = parts.scheme.startswith("redis")
    query = parse_qs(parts.query)
    host = unquote(parts.netloc.rpartition("@")[2])
    if not is_redis and not host and "host" in query:
        host = query["host"][0]
    if host.startswith("/"):
        return f"{host}/.s.PGSQL.{query.get('port', ['5432'])[0]}"
    host = host or "localhost"
    if host.endswith("]") or ":" not in host:
        host += ":6379" if is_redis else ":5432"
    return host


def _errno_in(text: str) -> int | None:
    found = _ERRNO.search(text)
    return int(found[1] or found[2]) if found else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, its cause, the cause's cause and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
