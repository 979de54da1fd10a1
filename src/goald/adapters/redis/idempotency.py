"""What requests with an idempotency key were answered, in Redis."""

import asyncio
import hashlib
from typing import Final

from goald.adapters.redis.connect import connect, service_errors
from goald.domain.idempotency import IdempotencyState, StoredResponse

KEPT_S: Final = 24 * 3_600
"""How long an answer is given again."""
IN_PROGRESS_S: Final = 60
"""How long a request may be under way: after a crash, its key is free again."""
LARGEST_ANSWER: Final = 16 * 1024
KEPT_IN_AN_HOUR: Final = 16 << 20
"""Bytes of an answer, and of one tenant's answers in an hour, with all that Redis needs to hold
them. What is more is not kept: its request would be done again. So nobody fills Redis (D8)."""
AT_ONCE: Final = 64
"""Calls of Redis; more wait in line. More than its pool has connections for would be refused."""
_HOUR_S: Final = 3_600
_AN_ENTRY: Final = 250
"""Bytes that Redis needs beside an answer, about."""

_END = """
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return 0 end
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
"""Keeps an answer, or frees the key, unless another request has it by now: then its own
time was up. An error comes back without what Redis 6.2 puts before its code."""


class RedisIdempotency:
    """`api.ports.Idempotency`. A key holds the digest of its request, and behind it the status
    and body of the answer once there is one."""

    def __init__(self, url: str) -> None:
        """Does not connect. Bound to one event loop."""
        self._redis = connect(url)
        self._turns = asyncio.Semaphore(AT_ONCE)

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
            is_new, held = await pipe.execute()
        if is_new:
            return IdempotencyState.STARTED
        digest, answer = held[: len(request)], held[len(request) :]
        if digest != request:
            return IdempotencyState.KEY_REUSED
        if not answer:
            return IdempotencyState.IN_FLIGHT
        return StoredResponse(int(answer[:3]), answer[3:])

    async def end(
        self, tenant: str, key: str, request: bytes, answer: StoredResponse | None
    ) -> None:
        kept = b""
        if answer is not None and len(answer.body) <= LARGEST_ANSWER:
            kept = request + b"%03d" % answer.status + answer.body
        async with service_errors(), self._turns:
            await self._redis.eval(
                _END, 2, _name(tenant, key), _name(tenant), request, kept, KEPT_S,
                _AN_ENTRY, _HOUR_S, KEPT_IN_AN_HOUR,
            )  # fmt: skip

    async def close(self) -> None:
        await self._redis.aclose()


def _name(tenant: str, key: str = "") -> str:
    """Of a fixed length, and never that of another tenant's key (D8). Without a key, which no
    request may leave empty, it is where the tenant's bytes are counted."""
    name = f"{len(tenant)}:{tenant}{key}".encode()
    return f"goald:idempotency:{hashlib.sha256(name).hexdigest()}"
