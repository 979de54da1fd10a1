"""Explains why Redis or Postgres could not be used, and how to fix it: the one place for the texts
of failed connections and rejected logins."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from goald.domain.errors import ServiceUnavailable, SettingsError, causes_of
from goald.domain.login_rejection import login_rejection

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


@contextmanager
def explained(service: str, url: str, setting: str, advice: str | None = None) -> Iterator[None]:
    """Context manager for code that uses the server at `url`, which the setting `setting` names.

    Errors of the `with` block that mean that the server was not reached are raised as
    ServiceUnavailable, with the address and the cause; a rejected login or a missing permission
    is raised as SettingsError, because only a change of a setting or of the server helps. Both
    messages say what to do (`advice` replaces the default for an unreachable server), and contain
    no password. Other errors are raised unchanged.
    """
    try:
        yield
    except Exception as error:
        if rejection := login_rejection(error):
            raise SettingsError(rejection.message(setting, address_of(url))) from error
        cause = failure_cause(error) if isinstance(error, ServiceUnavailable) else None
        if cause is None:
            raise
        advice = advice or f"Check that it is running and that {setting} is right."
        raise ServiceUnavailable(cannot_connect(service, address_of(url), cause, advice)) from error


def failure_cause(error: BaseException) -> str | None:
    """Why a connection could not be made or was lost, in a few words, such as "connection
    refused". None if the error is of another kind: the server answered."""
    for each in causes_of(error):
        if isinstance(each, OSError | EOFError):
            if known := _CAUSES.get(type(each).__name__):
                return known
            number = each.errno if isinstance(each, OSError) else None
            if number or (number := _errno_in(str(each))):
                return os.strerror(number).lower()
    for each in causes_of(error):  # libpq and redis-py report the cause only in their text
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
    """HOST:PORT or the socket's path of a Redis URL or a Postgres URL, without any password."""
    from urllib.parse import parse_qs, unquote, urlsplit

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
