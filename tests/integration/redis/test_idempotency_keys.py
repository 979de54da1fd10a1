"""Idempotency keys in Redis: one request executes, the others get its response (D1, D8)."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from goald.adapters.redis.idempotency import (
    BYTES_PER_HOUR,
    IN_PROGRESS_S,
    KEPT_S,
    LARGEST_RESPONSE,
    RedisIdempotency,
)
from goald.domain.errors import ServiceUnavailable
from goald.domain.idempotency import IdempotencyState, StoredResponse

DIGEST, OTHER = bytes(32), bytes([1]) * 32
ANSWER = StoredResponse(202, b'{"accepted":1}')


@pytest.fixture
async def keys(any_redis_url: str) -> AsyncIterator[RedisIdempotency]:
    keys = RedisIdempotency(any_redis_url)
    yield keys
    await keys.close()


@pytest.fixture
async def redis(any_redis_url: str) -> AsyncIterator[Any]:
    async with Redis.from_url(any_redis_url) as client:
        yield client


async def test_one_of_many_concurrent_requests_starts(keys: RedisIdempotency) -> None:
    found = await asyncio.gather(*(keys.begin("acme", "k", DIGEST) for _ in range(20)))
    assert Counter(found) == {IdempotencyState.STARTED: 1, IdempotencyState.IN_FLIGHT: 19}


async def test_a_stored_response_is_returned_again(keys: RedisIdempotency) -> None:
    await keys.begin("acme", "k", DIGEST)
    await keys.end("acme", "k", DIGEST, ANSWER)
    assert await keys.begin("acme", "k", DIGEST) == ANSWER
    assert await keys.begin("acme", "k", OTHER) is IdempotencyState.KEY_REUSED


async def test_an_in_flight_key_cannot_be_used_for_another_request(keys: RedisIdempotency) -> None:
    await keys.begin("acme", "k", DIGEST)
    assert await keys.begin("acme", "k", OTHER) is IdempotencyState.KEY_REUSED


async def test_a_released_key_can_be_used_for_another_request(keys: RedisIdempotency) -> None:
    await keys.begin("acme", "k", DIGEST)
    await keys.end("acme", "k", DIGEST, None)
    assert await keys.begin("acme", "k", OTHER) is IdempotencyState.STARTED


async def test_each_tenant_has_its_own_keys(keys: RedisIdempotency) -> None:
    await keys.begin("acme", "1k", DIGEST)
    await keys.end("acme", "1k", DIGEST, ANSWER)
    for tenant, key in (("globex", "1k"), ("acme1", "k"), ("acm", "e1k")):
        assert await keys.begin(tenant, key, DIGEST) is IdempotencyState.STARTED


async def test_a_key_expires_after_a_minute_in_flight_and_a_response_after_a_day(
    keys: RedisIdempotency, redis: Any
) -> None:
    await keys.begin("acme", "k", DIGEST)
    [name] = await redis.keys("goald:idempotency:*")
    assert 0 < await redis.ttl(name) <= IN_PROGRESS_S == 60
    await keys.end("acme", "k", DIGEST, ANSWER)
    assert IN_PROGRESS_S < await redis.ttl(name) <= KEPT_S == 24 * 3_600
    assert -1 not in [await redis.ttl(name) for name in await redis.keys("*")]


async def test_an_expired_request_does_not_change_the_key_of_the_next(
    keys: RedisIdempotency, redis: Any
) -> None:
    await keys.begin("acme", "k", DIGEST)
    await redis.flushall()  # As after a minute.
    assert await keys.begin("acme", "k", OTHER) is IdempotencyState.STARTED
    await keys.end("acme", "k", DIGEST, ANSWER)
    await keys.end("acme", "k", DIGEST, None)
    assert await keys.begin("acme", "k", OTHER) is IdempotencyState.IN_FLIGHT


async def test_a_large_response_is_not_stored(keys: RedisIdempotency, redis: Any) -> None:
    await keys.begin("acme", "k", DIGEST)
    await keys.end("acme", "k", DIGEST, StoredResponse(202, b"x" * (LARGEST_RESPONSE + 1)))
    assert await redis.keys("*") == []
    assert await keys.begin("acme", "k", DIGEST) is IdempotencyState.STARTED


async def test_stored_responses_are_bounded(keys: RedisIdempotency, redis: Any) -> None:
    largest = StoredResponse(202, b"x" * LARGEST_RESPONSE)
    for number in range(BYTES_PER_HOUR // LARGEST_RESPONSE + 100):
        await keys.begin("acme", f"k-{number}", DIGEST)
        await keys.end("acme", f"k-{number}", DIGEST, largest)
    stored = sum([await redis.strlen(name) for name in await redis.keys("*")])
    assert BYTES_PER_HOUR / 2 < stored < BYTES_PER_HOUR
    assert await keys.begin("acme", "k-0", DIGEST) == largest
    assert await keys.begin("acme", "k-1100", DIGEST) is IdempotencyState.STARTED
    await keys.begin("globex", "k", DIGEST)
    await keys.end("globex", "k", DIGEST, ANSWER)
    assert await keys.begin("globex", "k", DIGEST) == ANSWER


async def test_with_redis_full_no_request_starts(keys: RedisIdempotency, redis: Any) -> None:
    await keys.begin("acme", "k", DIGEST)
    await redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(ServiceUnavailable):
            await keys.begin("acme", "other", DIGEST)
        with pytest.raises(ServiceUnavailable):
            await keys.end("acme", "k", DIGEST, ANSWER)
    finally:
        await redis.config_set("maxmemory", 0)


async def test_without_redis_no_request_starts() -> None:
    keys = RedisIdempotency("unix:///nowhere/redis.sock")
    with pytest.raises(ServiceUnavailable):
        await keys.begin("acme", "k", DIGEST)
    await keys.close()
