"""The responses to requests with an idempotency key, in Redis."""

import asyncio
import hashlib
from typing import Final

from goald.adapters.redis.connect import connect, service_errors
from goald.domain.idempotency import IdempotencyState, StoredResponse

KEPT_S: Final = 24 * 3_600
"""Seconds for which a response is stored and returned again, at most."""
IN_PROGRESS_S: Final = 60
"""Seconds for which a request may be in flight. After a crash, its key is free again."""
LARGEST_RESPONSE: Final = 16 * 1024
"""Bytes of the largest body that is stored. A request with a larger response executes again."""
BYTES_PER_HOUR: Final = 4 << 20
"""Bytes that Redis stores for one tenant in an hour, with overhead, so that no tenant can fill
Redis (D8): at most 100 MiB in the time for which responses are stored. Further responses are not
stored, and their requests execute again."""
MAX_CALLS: Final = 64
"""Concurrent calls to Redis; further calls wait. The connection pool rejects calls beyond its
limit."""
_HOUR_S: Final = 3_600
_OVERHEAD_BYTES: Final = 250
"""The approximate overhead of a stored response in Redis."""

_END = """
local stored = redis.call('GET', KEYS[1])
if stored and stored ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
local reply = redis.pcall('INCRBY', KEYS[2], ARGV[4] + #ARGV[2])
if type(reply) == 'number' then
  if redis.call('TTL', KEYS[2]) < 0 then redis.call('EXPIRE', KEYS[2], ARGV[5]) end
  if reply > tonumber(ARGV[6]) then return redis.call('DEL', KEYS[1]) end
  reply = redis.pcall('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
end
if reply.err then return {err = string.gsub(reply.err, '^@user_script: %d+: %-', '')} end
return 1
"""
"""Stores a response, or frees the key if there is none. Does nothing if the request has exceeded
its time and another request holds the key. Removes the prefix that Redis 6.2 adds to errors."""


class RedisIdempotency:
    """`api.ports.IdempotencyStore`. A key holds the digest of its request, followed by the status
    and body of the response when the request has finished."""

    def __init__(self, url: str, *, kept_seconds: float = KEPT_S) -> None:
        """`kept_seconds`: how long a response is stored, at most KEPT_S. Does not connect. Bound to
        one event loop."""
        self._redis = connect(url)
        self._kept_s = max(1, int(min(kept_seconds, KEPT_S)))
        self._turns = asyncio.Semaphore(MAX_CALLS)

    async def begin(
        self, tenant: str, key: str, request: bytes
    ) -> StoredResponse | IdempotencyState:
        name = _name(tenant, key)
        async with (
            service_errors(),
            self._turns,
            self._redis.pipeline(transaction=True) as pipe,
        ):
            pipe.set(name, request, ex=IN_PROGRESS_S, nx=True)
            pipe.get(name)
            is_new, stored = await pipe.execute()
        if is_new:
            return IdempotencyState.STARTED
        digest, response = stored[: len(request)], stored[len(request) :]
        if digest != request:
            return IdempotencyState.KEY_REUSED
        if not response:
            return IdempotencyState.IN_FLIGHT
        return StoredResponse(int(response[:3]), response[3:])

    async def end(
        self, tenant: str, key: str, request: bytes, response: StoredResponse | None
    ) -> None:
        kept = b""
        if response is not None and len(response.body) <= LARGEST_RESPONSE:
            kept = request + b"%03d" % response.status + response.body
        async with service_errors(), self._turns:
            await self._redis.eval(
                _END, 2, _name(tenant, key), _name(tenant), request, kept, self._kept_s,
                _OVERHEAD_BYTES, _HOUR_S, BYTES_PER_HOUR,
            )  # fmt: skip

    async def close(self) -> None:
        await self._redis.aclose()


def _name(tenant: str, key: str = "") -> str:
    """The Redis key: of fixed length and distinct for every tenant (D8). An empty `key`, which no
    request can have, returns the key of the tenant's byte counter."""
    name = f"{len(tenant)}:{tenant}{key}".encode()
    return f"goald:idempotency:{hashlib.sha256(name).hexdigest()}"
