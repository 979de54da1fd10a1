"""The client's own connections, whatever it is given, and how long it keeps trying."""

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

from goald.domain.errors import ServiceUnavailable

Connection: TypeAlias = Any
"""A `redis.asyncio.Redis`; redis-py's types of its replies fit no single protocol."""

TIMEOUT_S = 10.0
"""Redis is gone where it does not answer for so long."""

_LONGEST_PAUSE_S = 2.0


def own_connection(redis: str | Connection) -> Connection:
    """A client of our own, to be closed with `aclose`: for a URL, or with the address and
    settings of the client given, which is left as it is. Replies are bytes, in RESP 2,
    whatever that one's are. Does not connect.

    It has no time-out of its own, since redis-py's loses cancellations under Python 3.11
    (by `asyncio.wait_for`): calls go in `asyncio.timeout(TIMEOUT_S)`.
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


class Attempts:
    """Counts failures in a row: how long to pause, and when to say so."""

    def __init__(self, patience_s: float | None) -> None:
        """`patience_s`: how long failures are borne in silence; for ever, where None."""
        self._patience_s = patience_s
        self._failures = 0
        self._since = 0.0
        self._last: Exception | None = None

    def succeeded(self) -> None:
        self._failures, self._last = 0, None

    def failed(self, error: Exception) -> float:
        """Seconds to pause before the next try: longer each time, up to 2, with jitter."""
        if self._last is None:
            self._since = time.monotonic()
        self._failures += 1
        self._last = error
        longest = min(_LONGEST_PAUSE_S, 0.02 * 2.0 ** min(self._failures, 10))
        return longest * random.uniform(0.5, 1.0)

    def check(self, patience_s: float | None = None) -> None:
        """Raises ServiceUnavailable where failures have gone on for longer than the
        patience, or where trying again is of no use."""
        if self._last is None:
            return
        patience = self._patience_s if patience_s is None else patience_s
        waited = time.monotonic() - self._since
        if _is_hopeless(self._last) or (patience is not None and waited >= patience):
            raise ServiceUnavailable(
                f"Redis failed {self._failures} times in {waited:.1f} s: {self._last}"
            ) from self._last


def _is_hopeless(error: Exception) -> bool:
    if isinstance(error, ReadOnlyError | OutOfMemoryError):
        return False
    if isinstance(error, ResponseError):  # No type for these: the code begins the text.
        return str(error).split(" ", 1)[0] not in {"MISCONF", "NOREPLICAS", "UNBLOCKED"}
    return isinstance(error, AuthenticationError | ValueError | TypeError)
