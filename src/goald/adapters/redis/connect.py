"""A Redis client for everything outside the data path: status, doctor, dead letters."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from goald.domain.errors import ServiceUnavailable
from goald.redis_wire import is_unavailable

Client: TypeAlias = Any
"""A `redis.asyncio.Redis` as `connect` creates it. redis-py's types of replies cover both
protocols, text and bytes, so they do not fit."""


_TIMEOUT_S = 10.0


def connect(url: str) -> Client:
    """A client whose replies are bytes, in RESP 2. Does not connect; close it with `aclose`.
    Bound to one event loop.

    The client has no timeout, because redis-py's timeout loses cancellations under Python 3.11
    (it uses `asyncio.wait_for`). Call it within `service_errors`, which has a timeout.
    """
    pool = ConnectionPool.from_url(url, retry=Retry(NoBackoff(), 1))
    pool.connection_kwargs.update(  # Set here, because the URL overrides arguments.
        protocol=2, decode_responses=False, socket_timeout=None
    )
    return Redis.from_pool(pool)


@asynccontextmanager
async def service_errors() -> AsyncIterator[None]:
    """Raises ServiceUnavailable if Redis is unreachable, full or read-only (D6), or if the `with`
    block takes longer than 10 s."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            yield
    except (RedisConnectionError, RedisTimeoutError, OSError) as error:
        text = str(error) or type(error).__name__
        raise ServiceUnavailable(f"Redis cannot be reached: {text}") from error
    except ResponseError as error:
        if is_unavailable(error):
            raise ServiceUnavailable(f"Redis refuses: {error}") from error
        raise
