"""`ports.Outbound`: exits, notices and dead letters (D4, D5, D6)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis
from tests.contract.stream_backends import Backend

from goald.adapters.memory.clock import ManualClock
from goald.adapters.redis import RedisEventStream, RedisOutbound
from goald.domain.errors import ServiceUnavailable
from goald.domain.leases import StreamLease
from goald.domain.slots import SlotRange
from goald.domain.streams import OutboundStream
from goald.ports.outbound import DeadLetter, Message, PublishedWatermark, ServerIdentity
from goald.redis_keys import DEAD, EXITS, NOTICES


def message(number: int, stream: OutboundStream = OutboundStream.EXITS) -> Message:
    return Message(stream, f'{{"id": {number}}}')


def numbered_dead_letter(number: int) -> DeadLetter:
    return DeadLetter("goald:events:0", b"7-%d" % number, b"\xff{\x00", "not an event", 2)


async def test_messages_are_appended_in_order(backend: Backend) -> None:
    await backend.outbound().publish([message(n) for n in range(2_500)])
    published = [fields[b"event"] for _, fields in await backend.entries(EXITS)]
    assert published == [b'{"id": %d}' % n for n in range(2_500)]


async def test_each_message_goes_to_its_stream(backend: Backend) -> None:
    await backend.outbound().publish([message(1), message(2, OutboundStream.NOTICES), message(3)])
    assert [f[b"event"] for _, f in await backend.entries(EXITS)] == [b'{"id": 1}', b'{"id": 3}']
    assert [f[b"event"] for _, f in await backend.entries(NOTICES)] == [b'{"id": 2}']


async def test_publishing_no_messages_adds_nothing(backend: Backend) -> None:
    await backend.outbound().publish([])
    assert await backend.entries(EXITS) == []


async def test_a_dead_letter_names_its_origin_and_reason(backend: Backend) -> None:
    await backend.outbound().dead_letter([numbered_dead_letter(1)])
    ((_, fields),) = await backend.entries(DEAD)
    assert fields == {
        b"stream": b"goald:events:0",
        b"id": b"7-1",
        b"tenant": b"",
        b"event": b"\xff{\x00",
        b"reason": b"not an event",
        b"delivery_attempts": b"2",
        b"at": b"2026-01-01T00:00:00.000000Z",
    }


# The identity of the server (D10)

LOW = SlotRange(0, 127)


async def test_each_write_returns_the_watermark_of_the_write_before(backend: Backend) -> None:
    outbound = backend.outbound()
    assert await outbound.publish([message(1)], PublishedWatermark(LOW, 7)) == 0
    assert await outbound.publish([message(2)], PublishedWatermark(LOW, 9)) == 7
    assert await outbound.publish([message(3)]) == 0
    assert await outbound.publish([], PublishedWatermark(SlotRange(128, 255), 5)) == 0
    assert (await outbound.server_identity(LOW)).published == 9


async def test_a_completed_republication_records_the_identity(backend: Backend) -> None:
    outbound = backend.outbound()
    before = await outbound.server_identity(LOW)
    assert (before.recorded, before.published) == (None, 0)
    await outbound.begin_republish(LOW, "token")
    assert (await outbound.server_identity(LOW)).recorded == "token"
    assert await outbound.complete_republish(PublishedWatermark(LOW, 4), "token", "name")
    assert await outbound.server_identity(LOW) == ServerIdentity(before.run_id, "name", 4)


async def test_completing_a_republication_never_lowers_the_watermark(backend: Backend) -> None:
    outbound = backend.outbound()
    await outbound.begin_republish(LOW, "token")
    await outbound.publish([message(1)], PublishedWatermark(LOW, 9))
    assert await outbound.complete_republish(PublishedWatermark(LOW, 4), "token", "name")
    assert (await outbound.server_identity(LOW)).published == 9


async def test_a_republication_is_incomplete_if_the_server_lost_data_meanwhile(
    backend: Backend,
) -> None:
    outbound = backend.outbound()
    await outbound.begin_republish(LOW, "token")
    await backend.flush()
    assert not await outbound.complete_republish(PublishedWatermark(LOW, 4), "token", "name")
    found = await outbound.server_identity(LOW)
    assert (found.recorded, found.published) == (None, 0)


async def test_a_republication_is_incomplete_if_another_holder_began_one(
    backend: Backend,
) -> None:
    outbound, other = backend.outbound(), backend.outbound()
    await outbound.begin_republish(LOW, "token")
    await other.begin_republish(LOW, "other")
    assert not await outbound.complete_republish(PublishedWatermark(LOW, 4), "token", "name")
    assert (await outbound.server_identity(LOW)).recorded == "other"


async def test_every_connection_sees_the_same_server(backend: Backend) -> None:
    first, other = backend.outbound(), backend.outbound()
    assert (
        (await first.server_identity(LOW)).run_id == (await other.server_identity(LOW)).run_id != ""
    )


@asynccontextmanager
async def outbound_over(url: str) -> AsyncIterator[RedisOutbound]:
    outbound = RedisOutbound(url, ManualClock())
    try:
        yield outbound
    finally:
        await outbound.close()


async def test_an_error_for_one_message_fails_the_call(any_redis_url: str) -> None:
    client: Any = Redis.from_url(any_redis_url)
    async with outbound_over(any_redis_url) as outbound, client:
        await client.set(NOTICES, "not a stream")
        with pytest.raises(ServiceUnavailable):
            await outbound.publish([message(1), message(2, OutboundStream.NOTICES), message(3)])
        await client.delete(NOTICES)
        await outbound.publish([message(4)])
        last = await client.xrevrange(EXITS, count=1)
    assert last[0][1][b"event"] == b'{"id": 4}'


async def test_messages_of_any_size_are_sent_in_bounded_writes(any_redis_url: str) -> None:
    """32 MB in one write exceeds the client buffer limit of a small server."""
    client: Any = Redis.from_url(any_redis_url)
    large = "x" * (1 << 20)
    async with outbound_over(any_redis_url) as outbound, client:
        limit = await client.config_get("client-query-buffer-limit")
        await client.config_set("client-query-buffer-limit", 8 << 20)
        try:
            before = await outbound.publish(
                [Message(OutboundStream.EXITS, f"{number}{large}") for number in range(32)],
                PublishedWatermark(LOW, 32),
            )
            assert (before, await client.xlen(EXITS)) == (0, 32)
        finally:
            await client.config_set(*next(iter(limit.items())))


async def test_without_permission_for_info_the_run_id_is_empty(any_redis_url: str) -> None:
    client: Any = Redis.from_url(any_redis_url)
    async with client:
        rights = ("on", ">secret", "~*", "+@all", "-info")
        await client.execute_command("ACL", "SETUSER", "shy", *rights)
        try:
            url = f"{any_redis_url}?username=shy&password=secret"
            async with outbound_over(url) as outbound:
                await outbound.publish([message(1)], PublishedWatermark(LOW, 3))
                assert await outbound.server_identity(LOW) == ServerIdentity("", None, 3)
        finally:
            await client.execute_command("ACL", "DELUSER", "shy")


async def test_a_full_server_is_unavailable_until_it_has_memory(any_redis_url: str) -> None:
    client: Any = Redis.from_url(any_redis_url)
    async with outbound_over(any_redis_url) as outbound, client:
        await client.config_set("maxmemory", 1)
        try:
            with pytest.raises(ServiceUnavailable):
                await outbound.publish([message(1)])
            assert await client.xlen(EXITS) == 0
        finally:
            await client.config_set("maxmemory", 0)
        await outbound.publish([message(2)])
        assert await client.xlen(EXITS) == 1


async def test_a_read_only_server_is_unavailable_until_it_is_writable(any_redis_url: str) -> None:
    stream = RedisEventStream(any_redis_url, "goald:events:0")
    client: Any = Redis.from_url(any_redis_url)
    async with outbound_over(any_redis_url) as outbound, client:
        await stream.fence(StreamLease("goald:events:0", 1, "a"))
        added = await client.xadd("goald:events:0", {"event": "e"})
        await client.execute_command("REPLICAOF", "127.0.0.1", "1")
        try:
            with pytest.raises(ServiceUnavailable):
                await stream.acknowledge(added, 1)
            with pytest.raises(ServiceUnavailable):
                await outbound.publish([message(1)])
        finally:
            await client.execute_command("REPLICAOF", "NO", "ONE")
        await stream.acknowledge(added, 1)
    await stream.close()


async def test_an_unreachable_server_is_unavailable() -> None:
    async with outbound_over("unix:///tmp/goald-no-such-socket") as outbound:
        with pytest.raises(ServiceUnavailable):
            await outbound.publish([message(1)])


async def test_a_connection_that_the_server_closed_is_opened_again(any_redis_url: str) -> None:
    client: Any = Redis.from_url(any_redis_url)
    stream = RedisEventStream(any_redis_url, "goald:events:0")
    async with client:
        await stream.fence(StreamLease("goald:events:0", 1, "a"))
        await client.xadd("goald:events:0", {"event": "e"})
        assert len(await stream.read(b"0-0", 1)) == 1
        await client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        with pytest.raises(ServiceUnavailable):
            await stream.read(b"0-0", 1)
        assert len(await stream.read(b"0-0", 1)) == 1
    await stream.close()
