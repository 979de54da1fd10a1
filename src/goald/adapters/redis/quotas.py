"""How much each tenant asks for in a second, counted in Redis over all API processes (D8)."""

import asyncio

import structlog
from limits import RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.exceptions import RedisError

from goald.adapters.redis.connect import connect
from goald.domain.errors import QuotaExceeded
from goald.ports.clock import Clock

_PREFIX = "goald:quota"
PATIENCE_S = 0.25
_PAUSE_S = 1.0
_AT_ONCE = 16
"""Calls of Redis, each a fraction of a millisecond; whoever asks for more waits in line. More
than the pool has connections for would be an error, and switch off the quotas (D8)."""

_log = structlog.stdlib.get_logger(__name__)


class RedisQuotas:
    """`api.ports.Quotas`: no second, wherever it begins, holds more than about the limit.

    A quota that cannot be counted stops nobody: where Redis does not answer in time
    everything passes, and it is asked again after _PAUSE_S. Said in the log once for each
    time that it goes away. Bound to the event loop that uses it first.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        requests: int,
        events: int,
        patience: float = PATIENCE_S,
    ) -> None:
        """`requests`, `events`: how many a second, 0 for no limit. `patience`: seconds for
        Redis to answer in. Does not connect."""
        self._client = connect(url)
        self._clock = clock
        # Whatever the server is, it is spoken to by the one client that goald has. The URL
        # here is not: the pool holds it, with what our clients have in common.
        storage = RedisStorage(
            "async+redis://",
            implementation="redispy",
            key_prefix=_PREFIX,
            connection_pool=self._client.connection_pool,
        )
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._requests = RateLimitItemPerSecond(requests) if requests else None
        self._events = RateLimitItemPerSecond(events) if events else None
        self._away_until: float | None = None
        self._patience = patience
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def requests(self, tenant: str) -> None:
        """Count a request; QuotaExceeded where that is one too many."""
        await self._count(self._requests, "requests", tenant, 1)

    async def events(self, tenant: str, count: int) -> None:
        """Count events, all or none; QuotaExceeded where they are too many. More at once than
        a second's quota count as one second's: else they could never be sent."""
        await self._count(self._events, "events", tenant, count)

    async def close(self) -> None:
        await self._client.aclose()

    async def _count(
        self, limit: RateLimitItemPerSecond | None, what: str, tenant: str, count: int
    ) -> None:
        if limit is None or count <= 0 or self._is_away():
            return
        async with self._turns:
            # Those in line before us may have found it away.
            if self._is_away() or await self._is_taken(limit, what, tenant, count):
                return
        raise QuotaExceeded(f"The quota of {limit.amount} {what} a second is used up")

    async def _is_taken(
        self, limit: RateLimitItemPerSecond, what: str, tenant: str, count: int
    ) -> bool:
        """Whether the tenant may have it; so it may where it cannot be counted."""
        try:
            async with asyncio.timeout(self._patience):
                taken = await self._limiter.hit(limit, what, tenant, cost=min(count, limit.amount))
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            if self._away_until is None:
                _log.warning("quotas are not counted", error=str(error) or type(error).__name__)
            self._away_until = self._clock.monotonic() + _PAUSE_S
            return True
        self._away_until = None
        return taken

    def _is_away(self) -> bool:
        return self._away_until is not None and self._clock.monotonic() < self._away_until
