"""Many requests of one tenant at the same moment."""

import asyncio

from goald.adapters.redis.idempotency import RedisIdempotency
from goald.domain.idempotency import IdempotencyState, StoredResponse

REQUESTS = 400


async def test_concurrent_keys_do_not_exhaust_the_connections(redis_url: str) -> None:
    keys = RedisIdempotency(redis_url)
    digest = bytes(32)
    begun = await asyncio.gather(*(keys.begin("acme", str(n), digest) for n in range(REQUESTS)))
    answer = StoredResponse(202, b"{}")
    await asyncio.gather(*(keys.end("acme", str(n), digest, answer) for n in range(REQUESTS)))
    again = await asyncio.gather(*(keys.begin("acme", str(n), digest) for n in range(REQUESTS)))
    await keys.close()
    assert (set(begun), set(again)) == ({IdempotencyState.STARTED}, {answer})
