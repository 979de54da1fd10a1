"""The cause of a failed connection, in words, and the address without its password."""

import pytest

from goald.domain.connection_failure import address_of, cannot_connect, failure_cause


def wrapped(cause: BaseException, text: str = "a library's text") -> Exception:
    error = RuntimeError(text)
    error.__cause__ = cause
    return error


class OperationalError(Exception):
    """As psycopg names it."""


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ConnectionRefusedError(111, "Connect call failed"), "connection refused"),
        (wrapped(ConnectionRefusedError(111, "x")), "connection refused"),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed"), "connection refused"),
        (RuntimeError("Error 111 connecting to h:1. Connect call failed."), "connection refused"),
        (FileNotFoundError(2, "No such file"), "the socket does not exist"),
        (TimeoutError(), "no answer in time"),
        (ConnectionResetError(104, "reset"), "connection reset by the server"),
        (OSError(113, "No route to host"), "no route to host"),
        (OperationalError("connection failed: x failed: Connection refused\n\tIs"),
         "connection refused"),
        (OperationalError("connection timeout expired"), "no answer in time"),
    ],
)  # fmt: skip
def test_a_failed_connection_has_a_cause(error: Exception, cause: str) -> None:
    assert failure_cause(error) == cause


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("READONLY You can't write against a read only replica."),
        OperationalError('connection failed: FATAL:  database "x" does not exist'),
        ValueError("no"),
    ],
)
def test_an_answer_of_the_server_is_no_failed_connection(error: Exception) -> None:
    assert failure_cause(error) is None


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://localhost", "localhost:6379"),
        ("redis://user:secret@cache.internal:7000/3", "cache.internal:7000"),
        ("rediss://[::1]:6380", "[::1]:6380"),
        ("unix:///run/redis.sock?db=1", "/run/redis.sock"),
        ("postgresql://goald:secret@db.internal/goald", "db.internal:5432"),
        ("postgresql://goald@db:6000/goald", "db:6000"),
        ("postgresql:///goald?host=/tmp/sockets", "/tmp/sockets/.s.PGSQL.5432"),
        ("postgresql://goald@%2Ftmp%2Fs/goald", "/tmp/s/.s.PGSQL.5432"),
    ],
)
def test_the_address_of_a_url_has_no_password(url: str, address: str) -> None:
    assert address_of(url) == address


def test_the_message_says_where_why_and_what_to_do() -> None:
    message = cannot_connect("Redis", "h:6379", "connection refused", "Start it.")
    assert message == "Cannot connect to Redis at h:6379: connection refused. Start it."
