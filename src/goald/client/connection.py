"""The client's own connections to Redis, and how long failures are retried."""

import random
import time
from typing import Any, TypeAlias

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from goald.domain.connection_failure import cannot_connect, failure_cause
from goald.domain.errors import ServiceUnavailable
from goald.domain.login_rejection import login_rejection

Connection: TypeAlias = Any
"""A `redis.asyncio.Redis`. redis-py's reply types cover several protocols and fit none."""

TIMEOUT_S = 10.0
"""Redis counts as unreachable if it does not answer within this time."""

_LONGEST_PAUSE_S = 2.0


def own_connection(redis: str | Connection) -> Connection:
    """A Redis client that the caller closes with `aclose`. Does not connect.

    `redis`: a URL, or a client whose address and settings are copied; that client is not
    changed. Replies are bytes in RESP 2, regardless of the given client's settings.

    The client sets no timeout, because redis-py's timeout loses cancellations under
    Python 3.11 (`asyncio.wait_for`). Calls use `asyncio.timeout(TIMEOUT_S)` instead.
    """
    if isinstance(redis, str):
        pool = ConnectionPool.from_url(redis)
    else:
        given = redis.connection_pool
        pool = ConnectionPool(connection_class=given.connection_class, **given.connection_kwargs)
    pool.connection_kwargs.update(
        protocol=2, decode_responses=False, retry=Retry(NoBackoff(), 0), socket_timeout=None
    )
    return Redis.from_pool(pool)


def unavailable(connection: Connection, error: Exception, attempts: str = "") -> ServiceUnavailable:
    """The error for a caller whose call failed with `error`. Names the server if it could not be
    reached or refused the login. `attempts` describes the attempts, such as "3 attempts in
    1.2 s"."""
    after = f" ({attempts})" if attempts else ""
    if rejection := login_rejection(error):
        return ServiceUnavailable(rejection.message("its URL", _address(connection)))
    cause = failure_cause(error)
    if cause is None:
        return ServiceUnavailable(f"Redis reports an error{after}: {error}")
    return ServiceUnavailable(
        cannot_connect(
            "Redis",
            _address(connection),
            cause + after,
            "Check that it is running and that its URL is right.",
        )
    )


def _address(connection: Connection) -> str:
    settings = connection.connection_pool.connection_kwargs
    if path := settings.get("path"):
        return str(path)
    return f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}"


class Attempts:
    """Counts consecutive failures, and decides how long to pause and when to give up."""

    def __init__(self, connection: Connection, patience_s: float | None) -> None:
        """`patience_s`: how long failures are retried before `check` raises; forever if None."""
        self._connection = connection
        self._patience_s = patience_s
        self._failures = 0
        self._since = 0.0
        self._last: Exception | None = None

    def succeeded(self) -> None:
        """A call succeeded: the count starts again at zero."""
        self._failures, self._last = 0, None

    def failed(self, error: Exception) -> float:
        """A call failed. Returns the seconds to pause before the next attempt: longer each time,
        at most 2, with jitter."""
        if self._last is None:
            self._since = time.monotonic()
        self._failures += 1
        self._last = error
        longest = min(_LONGEST_PAUSE_S, 0.02 * 2.0 ** min(self._failures, 10))
        return longest * random.uniform(0.5, 1.0)

    def check(self, patience_s: float | None = None) -> None:
        """Raise ServiceUnavailable if calls have failed for longer than the patience, or if
        another attempt cannot succeed, as after a refused password."""
        if self._last is None:
            return
        patience = self._patience_s if patience_s is None else patience_s
        waited = time.monotonic() - self._since
        if _is_permanent(self._last) or (patience is not None and waited >= patience):
            count = "1 attempt" if self._failures == 1 else f"{self._failures} attempts"
            raise unavailable(
                self._connection, self._last, f"{count} in {waited:.1f} s"
            ) from self._last


def _is_permanent(error: Exception) -> bool:
    if isinstance(error, ReadOnlyError | OutOfMemoryError):
        return False
    if isinstance(error, ResponseError):  # These have no class: the text begins with the code.
        return str(error).split(" ", 1)[0] not in {"MISCONF", "NOREPLICAS", "UNBLOCKED"}
    return isinstance(error, AuthenticationError | ValueError | TypeError)
