"""A client for all that is not in the way of the data: status, doctor, dead letters."""

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

from goald.adapters.redis.wire import is_refusal
from goald.domain.errors import ServiceUnavailable

Client: TypeAlias = Any
"""A `redis.asyncio.Redis` as `connect` makes it; redis-py's own types of what it gives
back cover both protocols and text besides bytes, and so fit neither."""


_TIMEOUT_S = 10.0


def connect(url: str) -> Client:
    """A client whose replies are bytes, in RESP 2. Does not connect; to be closed with
    `aclose`. Bound to one event loop.

    It has no time-out of its own, since redis-py's loses cancellations under Python 3.11
    (by `asyncio.wait_for`): its calls go in `service_errors`.
    """
    pool = ConnectionPool.from_url(url, retry=Retry(NoBackoff(), 1))
    pool.connection_kwargs.update(  # Here, for what the URL says wins over arguments.
        protocol=2, decode_responses=False, socket_timeout=None
    )
    return Redis.from_pool(pool)


@asynccontextmanager
async def service_errors() -> AsyncIterator[None]:
    """Turns what says that Redis is gone, full or read-only into ServiceUnavailable (D6);
    it is gone where it does not answer within 10 s."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            yield
    except (RedisConnectionError, RedisTimeoutError, OSError) as error:
        text = str(error) or type(error).__name__
        raise ServiceUnavailable(f"Redis cannot be reached: {text}") from error
    except ResponseError as error:
        if is_refusal(error):
            raise ServiceUnavailable(f"Redis refuses: {error}") from error
        raise
