"""The account of the dead letters of each tenant in Redis is exact (D5, D8)."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from goald.adapters.memory.clock import ManualClock
from goald.adapters.redis import RedisOutbound
from goald.adapters.redis.dead_letters.store import RedisDeadLetterStore
from goald.adapters.redis.erasable_streams import RedisErasableStreams
from goald.ports.outbound import DeadLetter
from goald.redis_keys import DEAD, DEAD_ACCOUNT, DEAD_DROPPED, DEAD_INDEX, DEAD_PACKED, DEAD_TENANTS

BOUND = 2 << 20


def dead_letters(tenant: str, first: int, count: int, size: int) -> list[DeadLetter]:
    """Dead letters of one tenant, numbered."""
    text = json.dumps({"tenantid": tenant, "text": "x" * size}).encode()
    return [
        DeadLetter("goald:events:0", b"7-%d" % n, text, "bad", 1)
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


async def check(url: str) -> None:
    """Make the check that the first write of a process makes."""
    outbound = RedisOutbound(url, ManualClock(), dead_max_bytes=BOUND)
    await outbound.dead_letter(dead_letters("checker", 0, 1, 10))
    await outbound.close()


async def assert_exact(client: Any) -> None:
    """The account, the tenants and their indexes say what `goald:dead` has."""
    sizes: Counter[str] = Counter()
    ids: dict[str, list[bytes]] = {}
    last = (await client.hget(DEAD_ACCOUNT, "indexed_to")).split(b"-")
    for entry_id, fields in await client.xrange(DEAD):
        if tuple(map(int, entry_id.split(b"-"))) <= tuple(map(int, last)):
            tenant = fields.get(b"tenant", b"").decode()
            sizes[tenant] += 240 + sum(len(part) for pair in fields.items() for part in pair)
            ids.setdefault(tenant, []).append(entry_id)
    counted = await client.zrange(DEAD_TENANTS, 0, -1, withscores=True)
    assert {tenant.decode(): size for tenant, size in counted} == sizes
    account = await client.hgetall(DEAD_ACCOUNT)
    assert (int(account[b"entries"]), int(account[b"bytes"])) == (
        sum(map(len, ids.values())),
        sizes.total(),
    )
    indexes = {
        key.decode().removeprefix(DEAD_INDEX) async for key in client.scan_iter(f"{DEAD_INDEX}*")
    }
    assert indexes == ids.keys()
    for tenant, of in ids.items():
        assert [entry_id for entry_id, _ in await client.xrange(DEAD_INDEX + tenant)] == of


async def kept(client: Any, tenant: str) -> list[int]:
    return [
        int(fields[b"id"].removeprefix(b"7-"))
        for _, fields in await client.xrange(DEAD)
        if fields[b"tenant"] == tenant.encode()
    ]


async def test_the_account_is_exact_after_every_kind_of_removal(
    client: Any, outbound: RedisOutbound, any_redis_url: str
) -> None:
    for start in range(0, 4_000, 200):
        await outbound.dead_letter(dead_letters("flood", start, 200, 1_000))
        await outbound.dead_letter(dead_letters(f"t{start % 3}", start, 20, 1_000))
    await assert_exact(client)
    store, erasable = RedisDeadLetterStore(client), RedisErasableStreams(any_redis_url)
    page = [dead_letter.id for dead_letter in await store.page(500)]
    for dead_letter in page[10:30]:
        await store.replay(dead_letter)
    await assert_exact(client)
    assert await erasable.delete(DEAD, [*page[30:60], "1-1"]) == 30
    await assert_exact(client)
    assert await store.purge(limit=100) == 100
    await assert_exact(client)
    await check(any_redis_url)
    await assert_exact(client)
    await store.purge()
    await assert_exact(client)
    assert [key async for key in client.scan_iter("goald:dead*")] != []
    assert await client.exists(DEAD_TENANTS) == 0
    await erasable.close()


async def test_removing_dead_letters_that_are_not_counted_yet_changes_no_account(
    client: Any, outbound: RedisOutbound, any_redis_url: str
) -> None:
    await outbound.dead_letter(dead_letters("acme", 0, 1, 100))
    await outbound.dead_letter(dead_letters("acme", 1, 5, 100))
    store = RedisDeadLetterStore(client)
    ids = [dead_letter.id for dead_letter in await store.page(10)]
    await store.replay(ids[3])
    await assert_exact(client)
    await check(any_redis_url)
    await assert_exact(client)
    assert await kept(client, "acme") == [0, 1, 2, 4, 5]


@pytest.mark.parametrize("lost", [(DEAD_TENANTS,), (DEAD_ACCOUNT,), (DEAD_TENANTS, DEAD_ACCOUNT)])
async def test_the_account_is_built_again_after_a_loss(
    client: Any, outbound: RedisOutbound, lost: tuple[str, ...]
) -> None:
    await outbound.dead_letter(dead_letters("acme", 0, 100, 1_000))
    await outbound.dead_letter(dead_letters("other", 0, 300, 1_000))
    await client.delete(*lost)
    for start in range(0, 4_000, 200):
        await outbound.dead_letter(dead_letters("flood", start, 200, 1_000))
    await assert_exact(client)
    assert await kept(client, "acme") == list(range(100))
    flood = await kept(client, "flood")
    assert flood == list(range(4_000 - len(flood), 4_000))


async def test_entries_that_another_program_adds_and_deletes_are_accounted_for(
    client: Any, outbound: RedisOutbound, any_redis_url: str
) -> None:
    await outbound.dead_letter(dead_letters("acme", 0, 100, 1_000))
    await client.xadd(DEAD, {"event": b"\xff", "reason": "of another program"})
    await client.xtrim(DEAD, maxlen=60, approximate=False)
    await check(any_redis_url)
    await assert_exact(client)
    await client.delete(DEAD)
    await check(any_redis_url)
    await assert_exact(client)


async def interleaved(outbound: RedisOutbound, client: Any, rounds: int) -> int:
    """Small dead letters of a tenant between those of a flood: their nodes stay. Returns the most
    memory that the stream took."""
    most = 0
    for n in range(rounds):
        both = [*dead_letters("acme", n, 1, 1), *dead_letters("flood", 9 * n, 9, 100)]
        await outbound.dead_letter(both)
        if n % 100 == 0:
            most = max(most, int(await client.memory_usage(DEAD, samples=0) or 0))
    return most


async def test_removed_dead_letters_between_others_free_their_memory(
    client: Any, outbound: RedisOutbound
) -> None:
    assert BOUND // 2 < await interleaved(outbound, client, 2_000) < BOUND * 1.2
    await assert_exact(client)
    assert await kept(client, "acme") == list(range(2_000))
    flood = await kept(client, "flood")
    assert flood == list(range(18_000 - len(flood), 18_000))
    ids = [entry_id for entry_id, _ in await client.xrange(DEAD)]
    assert await client.xadd(DEAD, {"event": b"next"}) > ids[-1]


async def test_an_interrupted_compaction_is_continued_without_removed_dead_letters(
    client: Any, outbound: RedisOutbound, any_redis_url: str
) -> None:
    await outbound.dead_letter(dead_letters("acme", 0, 100, 1_000))
    entries = await client.xrange(DEAD)
    for entry_id, fields in entries[:50]:
        await client.xadd(DEAD_PACKED, fields, id=entry_id)
    store = RedisDeadLetterStore(client)
    await store.purge(limit=3)
    await store.replay(entries[40][0].decode())
    await check(any_redis_url)
    assert await client.exists(DEAD_PACKED) == 0
    assert await kept(client, "acme") == [n for n in range(3, 100) if n != 40]
    await assert_exact(client)


async def test_dead_letters_that_another_program_deletes_do_not_return_from_a_compaction(
    client: Any, outbound: RedisOutbound, any_redis_url: str
) -> None:
    await outbound.dead_letter(dead_letters("acme", 0, 100, 1_000))
    entries = await client.xrange(DEAD)
    for entry_id, fields in entries[:50]:
        await client.xadd(DEAD_PACKED, fields, id=entry_id)
    await client.xdel(DEAD, entries[7][0])
    await check(any_redis_url)
    assert await client.exists(DEAD_PACKED) == 0
    assert await kept(client, "acme") == [n for n in range(100) if n != 7]
    await assert_exact(client)


async def test_a_consumer_group_of_the_dead_letters_is_never_lost(
    client: Any, outbound: RedisOutbound
) -> None:
    await outbound.dead_letter(dead_letters("acme", 0, 1, 1))
    await client.xgroup_create(DEAD, "alerts", "0")
    await interleaved(outbound, client, 2_000)
    assert [group["name"] for group in await client.xinfo_groups(DEAD)] == [b"alerts"]
    assert len(await kept(client, "acme")) == 2_001
    assert int(await client.get(DEAD_DROPPED)) > 0
