"""Requests, events and bytes per second and tenant, counted in Redis for all API processes (D8)."""

import asyncio
from collections import deque

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
_MAX_CALLS = 16
"""Concurrent calls to Redis, each of which takes a fraction of a millisecond; further calls wait.
More calls than the pool has connections would fail and disable the quotas (D8)."""

_log = structlog.stdlib.get_logger(__name__)


class RedisQuotas:
    """`api.ports.Quotas` with a sliding window of one second. The limit is approximate.

    If Redis does not reply within the patience, all calls pass without being counted, and the
    next attempt follows after _PAUSE_S. One warning is logged for each outage. Bound to the event
    loop that uses it first.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        requests: int,
        events: int,
        bytes_: int = 0,
        patience: float = PATIENCE_S,
    ) -> None:
        """`requests`, `events`, `bytes_`: the limits per second, 0 for no limit. `patience`:
        seconds to wait for Redis. Does not connect."""
        self._client = connect(url)
        self._clock = clock
        # The connection pool has the URL and the settings of goald's clients, so the storage
        # ignores the URL given here.
        storage = RedisStorage(
            "async+redis://",
            implementation="redispy",
            key_prefix=_PREFIX,
            connection_pool=self._client.connection_pool,
        )
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._requests = RateLimitItemPerSecond(requests) if requests else None
        self._events = RateLimitItemPerSecond(events) if events else None
        self._bytes = RateLimitItemPerSecond(bytes_) if bytes_ else None
        self._paused_until: float | None = None
        self._patience = patience
        self._calls = asyncio.Semaphore(_MAX_CALLS)
        self._waiting: dict[tuple[str, str], deque[tuple[int, asyncio.Future[bool]]]] = {}
        """By limit and tenant: the calls that follow the one in flight, with their costs."""
        self._serving: set[asyncio.Task[None]] = set()

    async def requests(self, tenant: str) -> None:
        """Count a request. Raises QuotaExceeded if it exceeds the limit."""
        await self._count(self._requests, "requests", tenant, 1)

    async def work(self, tenant: str, count: int) -> None:
        """Count requests more, at most as many as a request that is alone in its second may."""
        if self._requests is not None:
            count = min(count, self._requests.amount - 1)
        await self._count(self._requests, "requests", tenant, count)

    async def events(self, tenant: str, count: int) -> None:
        """Count the events, all or none. Raises QuotaExceeded if they exceed the limit. A batch
        larger than the limit counts as the limit, because it could never be sent otherwise."""
        await self._count(self._events, "events", tenant, count)

    async def bytes(self, tenant: str, count: int) -> None:
        """Count the bytes of a batch, like `events`."""
        await self._count(self._bytes, "bytes", tenant, count)

    async def close(self) -> None:
        for task in list(self._serving):
            task.cancel()
        await self._client.aclose()

    async def _count(
        self, limit: RateLimitItemPerSecond | None, what: str, tenant: str, count: int
    ) -> None:
        if limit is None or count <= 0 or self._is_paused():
            return
        key = what, tenant
        calls = self._waiting.get(key)
        is_first = calls is None
        if calls is None:
            calls = self._waiting[key] = deque()
        admitted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        calls.append((min(count, limit.amount), admitted))
        if is_first:
            task = asyncio.create_task(self._serve(limit, what, tenant, calls))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        if not await admitted:
            raise QuotaExceeded(
                f"The tenant's quota of {limit.amount:,} {what} a second "
                f"(GOALD_QUOTA_{what.upper()}) is used up; this request counts as {count:,}. Try "
                "again after a second"
            )

    async def _serve(
        self,
        limit: RateLimitItemPerSecond,
        what: str,
        tenant: str,
        calls: deque[tuple[int, asyncio.Future[bool]]],
    ) -> None:
        """Count the calls of one tenant for one limit, those that wait together in one call to
        Redis. If they exceed the limit together, each counts for itself."""

        async def admit(cost: int, *admitted: asyncio.Future[bool]) -> bool:
            async with self._calls:
                # An earlier call may have found Redis unavailable meanwhile.
                is_within = self._is_paused() or await self._is_within(limit, what, tenant, cost)
            if is_within or len(admitted) == 1:
                for future in admitted:
                    if not future.done():
                        future.set_result(is_within)
            return is_within

        together: list[tuple[int, asyncio.Future[bool]]] = []
        try:
            while calls:
                cost, together = _together(calls, limit.amount)
                if not await admit(cost, *(future for _, future in together)):
                    each = together if len(together) > 1 else ()
                    await asyncio.gather(*(admit(*call) for call in each))
        finally:
            del self._waiting[what, tenant]
            for _, future in (*together, *calls):
                future.cancel()  # does nothing to calls that have their answer

    async def _is_within(
        self, limit: RateLimitItemPerSecond, what: str, tenant: str, count: int
    ) -> bool:
        """Whether the call is within the limit; also True if it cannot be counted."""
        try:
            async with asyncio.timeout(self._patience):
                is_within = await self._limiter.hit(limit, what, tenant, cost=count)
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            if self._paused_until is None:
                _log.warning("quotas are not counted", error=str(error) or type(error).__name__)
            self._paused_until = self._clock.monotonic() + _PAUSE_S
            return True
        self._paused_until = None
        return is_within

    def _is_paused(self) -> bool:
        return self._paused_until is not None and self._clock.monotonic() < self._paused_until


def _together(
    calls: deque[tuple[int, asyncio.Future[bool]]], most: int
) -> tuple[int, list[tuple[int, asyncio.Future[bool]]]]:
    """Take the first calls that cost at most `most` together, at least one. Returns their cost,
    and the calls."""
    together = [calls.popleft()]
    total = together[0][0]
    while calls and total + calls[0][0] <= most:
        together.append(calls.popleft())
        total += together[-1][0]
    return total, together
