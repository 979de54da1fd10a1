"""`goald:dead` uses approximately GOALD_DEAD_BYTES of memory at most (D5)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from goald.adapters.memory.clock import ManualClock
from goald.adapters.redis import RedisOutbound
from goald.adapters.redis.dead_letters.store import RedisDeadLetterStore
from goald.ports.outbound import DeadLetter
from goald.redis_keys import DEAD, DEAD_DROPPED

BOUND = 4 << 20


def dead_letters(first: int, count: int, size: int) -> list[DeadLetter]:
    """Dead letters with different bytes, so that they can be distinguished."""
    return [
        DeadLetter("goald:events:0", b"7-%d" % n, (b"%d," % n).ljust(size, b"x"), "bad", 1)
        for n in range(first, first + count)
    ]


@pytest.fixture
async def client(any_redis_url: str) -> AsyncIterator[Any]:
    async with Redis.from_url(any_redis_url) as client:
        yield client


@pytest.fixture
async def outbound(any_redis_url: str) -> AsyncIterator[RedisOutbound]:
    outbound = RedisOutbound(any_redis_url, ManualClock(), dead_max_bytes=BOUND)
    yield outbound
    await outbound.close()


async def memory(client: Any) -> int:
    return int(await client.memory_usage(DEAD, samples=0) or 0)


async def kept_ids(client: Any) -> list[bytes]:
    return [fields[b"id"] for _, fields in await client.xrange(DEAD)]


async def dropped(client: Any) -> int:
    return int(await client.get(DEAD_DROPPED) or 0)


@pytest.mark.parametrize(("count", "size"), [(300, 64_000), (40_000, 300)])
async def test_dead_letters_stay_within_their_memory_and_the_oldest_are_deleted_first(
    client: Any, outbound: RedisOutbound, count: int, size: int
) -> None:
    most = 0
    for start in range(0, count, count // 20):
        await outbound.dead_letter(dead_letters(start, count // 20, size))
        most = max(most, await memory(client))
    assert BOUND // 2 < most < BOUND * 1.1
    kept = await kept_ids(client)
    assert kept == [b"7-%d" % n for n in range(count - len(kept), count)]
    assert await dropped(client) == count - len(kept)


async def test_no_dead_letter_is_deleted_below_the_bound(
    client: Any, outbound: RedisOutbound
) -> None:
    await outbound.dead_letter(dead_letters(0, 50, 64_000))
    assert len(await kept_ids(client)) == 50
    assert await dropped(client) == 0


async def test_a_stream_of_an_earlier_release_is_bounded_at_the_first_write(
    client: Any, outbound: RedisOutbound
) -> None:
    async with client.pipeline(transaction=False) as pipe:
        for n in range(400):
            pipe.xadd(DEAD, {"event": b"x" * 64_000, "id": f"6-{n}"})
        await pipe.execute()
    await outbound.dead_letter(dead_letters(0, 1, 100))
    assert await memory(client) < BOUND
    kept = await kept_ids(client)
    assert kept[-2:] == [b"6-399", b"7-0"]
    assert await dropped(client) == 401 - len(kept)


async def test_a_smaller_bound_takes_effect_at_the_first_write(
    any_redis_url: str, client: Any, outbound: RedisOutbound
) -> None:
    wide = RedisOutbound(any_redis_url, ManualClock(), dead_max_bytes=4 * BOUND)
    await wide.dead_letter(dead_letters(0, 200, 64_000))
    await wide.close()
    assert len(await kept_ids(client)) == 200
    await outbound.dead_letter(dead_letters(200, 1, 100))
    assert await memory(client) < BOUND
    assert (await kept_ids(client))[-1] == b"7-200"


async def test_purged_and_replayed_dead_letters_free_their_space(
    client: Any, outbound: RedisOutbound
) -> None:
    await outbound.dead_letter(dead_letters(0, 60, 64_000))
    for dead_letter in (await RedisDeadLetterStore(client).page(50))[:20]:
        await RedisDeadLetterStore(client).replay(dead_letter.id)
    assert await RedisDeadLetterStore(client).purge(limit=20) == 20
    await outbound.dead_letter(dead_letters(60, 40, 64_000))
    assert await kept_ids(client) == [b"7-%d" % n for n in range(40, 100)]
    assert await dropped(client) == 0


async def test_without_memory_usage_dead_letters_are_bounded_in_number(
    any_redis_url: str, client: Any
) -> None:
    await client.execute_command(
        "ACL", "SETUSER", "hosted", "on", ">secret", "+@all", "-memory", "~*"
    )
    path = any_redis_url.removeprefix("unix://")
    hosted = RedisOutbound(f"unix://hosted:secret@{path}", ManualClock(), dead_max_bytes=BOUND)
    try:
        await hosted.dead_letter(dead_letters(0, 1_000, 3_000))
    finally:
        await hosted.close()
        await client.execute_command("ACL", "DELUSER", "hosted")
    kept = await kept_ids(client)
    assert kept[-1] == b"7-999"
    assert 0 < len(kept) * 3_000 < BOUND
    assert await dropped(client) == 1_000 - len(kept)
