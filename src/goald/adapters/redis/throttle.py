"""Throttled tenants in the sorted set `goald:throttled`, by the time in milliseconds at which the
throttling ends."""

from collections.abc import Collection
from typing import Final

from goald.adapters.redis.connect import Client, connect, service_errors
from goald.domain.ids import TenantId
from goald.ports.control.throttle import THROTTLE_SECONDS
from goald.redis_keys import THROTTLED

_NOW: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""
_THROTTLE: Final = (
    _NOW
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
"""
)
"""A later call never shortens the time, because every call sets the same length."""
_THROTTLED: Final = _NOW + "return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')"


class RedisTenantThrottle:
    """A `TenantThrottle`, by the clock of Redis. Connects on first use; bound to one event loop."""

    def __init__(self, url: str) -> None:
        self._client: Client = connect(url)

    async def throttle(self, tenants: Collection[TenantId]) -> None:
        if not tenants:
            return
        milliseconds = round(THROTTLE_SECONDS * 1_000)
        async with service_errors():
            await self._client.eval(_THROTTLE, 1, THROTTLED, milliseconds, *tenants)

    async def throttled(self) -> frozenset[TenantId]:
        async with service_errors():
            names = await self._client.eval(_THROTTLED, 1, THROTTLED)
        return frozenset(TenantId(name.decode()) for name in names)

    async def close(self) -> None:
        await self._client.aclose()
