"""A client for all that is not in the way of the data: status, doctor, dead letters."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from goald.adapters.redis_streams.wire import is_refusal
from goald.domain.errors import ServiceUnavailable

Client: TypeAlias = Any
"""A `redis.asyncio.Redis` as `connect` makes it; redis-py's own types of what it gives
back cover both protocols and text besides bytes, and so fit neither."""


def connect(url: str, *, timeout: float = 5.0) -> Client:
    """A client whose replies are bytes, in RESP 2. Does not connect; to be closed with
    `aclose`. Bound to one event loop."""
    pool = ConnectionPool.from_url(url, retry=Retry(NoBackoff(), 1))
    pool.connection_kwargs.update(  # Here, for what the URL says wins over arguments.
        protocol=2, decode_responses=False, socket_timeout=timeout, socket_connect_timeout=timeout
    )
    return Redis.from_pool(pool)


@contextmanager
def service_errors() -> Iterator[None]:
    """Turns what says that Redis is gone, full or read-only into ServiceUnavailable (D6)."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError, OSError) as error:
        text = str(error) or type(error).__name__
        raise ServiceUnavailable(f"Redis cannot be reached: {text}") from error
    except ResponseError as error:
        if is_refusal(error):
            raise ServiceUnavailable(f"Redis refuses: {error}") from error
        raise
