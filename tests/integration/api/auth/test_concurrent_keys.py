"""Many requests of one tenant at the same moment."""

import asyncio

from goald.adapters.redis.idempotency import RedisIdempotency
from goald.domain.idempotency import IdempotencyState, StoredResponse

CROWD = 400


async def test_concurrent_keys_do_not_exhaust_the_connections(redis_url: str) -> None:
    held = RedisIdempotency(redis_url)
    digest = bytes(32)
    begun = await asyncio.gather(*(held.begin("acme", str(n), digest) for n in range(CROWD)))
    answer = StoredResponse(202, b"{}")
    await asyncio.gather(*(held.end("acme", str(n), digest, answer) for n in range(CROWD)))
    again = await asyncio.gather(*(held.begin("acme", str(n), digest) for n in range(CROWD)))
    await held.close()
    assert (set(begun), set(again)) == ({IdempotencyState.STARTED}, {answer})
