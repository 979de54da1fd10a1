"""A change of the number of event streams keeps the order of a contact's events."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from goald.adapters.clock import SystemClock
from goald.adapters.memory.clock import ManualClock
from goald.adapters.redis import RedisOutbound, admin
from goald.adapters.redis.dead_letters.store import RedisDeadLetterStore
from goald.adapters.redis.events import count_change
from goald.adapters.redis.process_registry import RedisProcessRegistry
from goald.adapters.redis.stream_admin import RedisStreamAdmin
from goald.api.publishing import TenantPublisher
from goald.client import Publisher, ServiceUnavailable, event
from goald.domain.errors import NotDrained, StreamCountMismatch
from goald.domain.streams import partition_of
from goald.operations.stream_count import StreamCount
from goald.pipeline.intake import AcceptedEvent
from goald.ports.outbound import DeadLetter
from goald.redis_keys import GROUP, NEXT_STREAMS, STREAM_COUNT, event_stream
from goald.runtime.jobs.stream_count_watcher import StreamCountWatcher

MOST = 16
CONTACTS = 20


@pytest.fixture
async def client(any_redis_url: str) -> AsyncIterator[Any]:
    """A client of an empty server."""
    async with Redis.from_url(any_redis_url) as client:
        yield client


def tag(contact: str, number: int) -> dict[str, Any]:
    return event("contact.tag.added", "acme", contact, {"tag_id": "t"}, id=f"{contact}/{number}")


class Effects:
    """Replaces goald: reads the streams and acknowledges the entries."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._positions = dict.fromkeys(map(event_stream, range(MOST)), b"0-0")
        self.order: dict[str, list[int]] = {}
        """For each contact, the numbers of its events in the order of processing."""
        self.misplaced: list[str] = []
        """Contacts with an event in a stream that is not the contact's."""

    async def process(self, limit: int = 50) -> int:
        """Process some entries of each stream. Returns how many."""
        processed = 0
        for name, after in self._positions.items():
            entries = await self._client.xrange(name, min=b"(" + after, count=limit)
            # Unacknowledged entries block the change.
            count = await admin.stream_count(self._client) if entries else 0
            for entry_id, fields in entries:
                contact, _, number = json.loads(fields[b"event"])["id"].partition("/")
                self.order.setdefault(contact, []).append(int(number))
                self._positions[name] = entry_id
                if event_stream(partition_of("acme", contact, count)) != name:
                    self.misplaced.append(contact)
            if entries:
                await self._client.xgroup_setid(name, GROUP, self._positions[name])
            processed += len(entries)
        return processed

    async def run(self, stop: asyncio.Event) -> None:
        """Process entries until `stop` is set and every stream is empty."""
        for name in self._positions:
            await self._client.xgroup_create(name, GROUP, "0", mkstream=True)
        stopped = False
        while await self.process() or not stopped:
            stopped = stop.is_set()  # read earlier entries once more
            await asyncio.sleep(0.001)


async def publish_on(url: str, contacts: list[str], stop: asyncio.Event) -> int:
    """Publish events for the contacts until `stop` is set. Returns the number per contact."""
    number = 0
    async with Publisher(url) as publisher:
        while not stop.is_set():
            for contact in contacts:
                await publisher.publish(tag(contact, number))
            number += 1
            if number % 7 == 0:
                await publisher.flush()
            await asyncio.sleep(0)
    return number


async def test_the_events_of_a_contact_stay_in_order_while_the_number_changes(
    any_redis_url: str, client: Any
) -> None:
    effects, stop, published = Effects(client), asyncio.Event(), asyncio.Event()
    working = asyncio.create_task(effects.run(published))
    groups = [[f"p{p}-c{n}" for n in range(CONTACTS)] for p in range(3)]
    publishing = [
        asyncio.create_task(publish_on(any_redis_url, contacts, stop)) for contacts in groups
    ]

    def processed() -> int:
        return sum(map(len, effects.order.values()))

    try:
        for desired in (8, 3, 16, 1, 5):
            before, enough = await admin.stream_count(client), processed() + 500
            assert await StreamCount(RedisStreamAdmin(client)).change(desired, 60) == before
            assert await admin.stream_count(client) == desired
            async with asyncio.timeout(60):
                while processed() < enough:
                    await asyncio.sleep(0.01)
    finally:
        stop.set()
        counts = await asyncio.gather(*publishing)
        published.set()
        await working
    for contacts, count in zip(groups, counts, strict=True):
        for contact in contacts:
            assert effects.order[contact] == list(range(count))
    assert effects.misplaced == []


async def test_producers_wait_while_the_number_is_being_changed(
    any_redis_url: str, client: Any
) -> None:
    await client.set(STREAM_COUNT, 2)
    async with Publisher(any_redis_url, patience_s=0.3) as publisher:
        await publisher.publish(tag("ann", 0))
        await publisher.flush()
        await count_change.begin(client, 6)
        await publisher.publish(tag("ann", 1))
        with pytest.raises(ServiceUnavailable, match="being changed to 6"):
            await publisher.flush()
        assert await client.exists(*map(event_stream, range(6))) == 1
        await client.set(STREAM_COUNT, 6)
        await count_change.cancel(client, 6)
        await publisher.flush(patience_s=60)
    ((_, fields),) = await client.xrange(event_stream(partition_of("acme", "ann", 6)), "-", "+", 1)
    assert json.loads(fields[b"event"])["id"] in {"ann/0", "ann/1"}
    assert sum([await client.xlen(event_stream(p)) for p in range(6)]) == 2


async def test_the_api_asks_for_a_retry_while_the_number_is_being_changed(
    any_redis_url: str, client: Any
) -> None:
    accepted = [AcceptedEvent("ann", json.dumps(tag("ann", 0)).encode())]
    async with Publisher(any_redis_url) as publisher:
        publishing = TenantPublisher(publisher)
        await count_change.begin(client, 8)
        for _ in range(2):
            with pytest.raises(ServiceUnavailable):
                await publishing.publish("acme", accepted)
        assert await count_change.change(client, 4, 8)
        await publisher.flush(patience_s=60)
        await publishing.publish("acme", accepted)
    name = event_stream(partition_of("acme", "ann", 8))
    assert await client.keys("goald:events:*") == [name.encode()]


async def test_an_interrupted_change_blocks_producers_for_a_bounded_time(
    any_redis_url: str, client: Any
) -> None:
    await count_change.begin(client, 8)
    assert 0 < await client.pttl(NEXT_STREAMS) <= count_change.PENDING_SECONDS * 1_000
    await client.pexpire(NEXT_STREAMS, 200)
    async with Publisher(any_redis_url) as publisher:
        await publisher.publish(tag("ann", 0))
        await publisher.flush()
    assert await client.xlen(event_stream(partition_of("acme", "ann", 4))) == 1


async def test_a_missing_number_does_not_reorder_later_events(
    any_redis_url: str, client: Any
) -> None:
    """After a loss of Redis data, the default number would route events to other streams."""
    await client.set(STREAM_COUNT, 16)
    contact = next(f"c-{n}" for n in range(99) if partition_of("acme", f"c-{n}", 16) > 4)
    async with Publisher(any_redis_url) as publisher:
        await publisher.publish(tag(contact, 0))
        await publisher.flush()
        await client.flushall()
        await publisher.publish(tag(contact, 1))
        await publisher.flush()
    assert await client.xlen(event_stream(partition_of("acme", contact, 16))) == 1


@pytest.mark.parametrize("state", ["undelivered", "pending", "without a group"])
async def test_the_number_does_not_change_while_an_entry_is_unacknowledged(
    client: Any, state: str
) -> None:
    name = event_stream(3)
    await client.xadd(name, {"event": "e"})
    if state != "without a group":
        await client.xgroup_create(name, GROUP, "0")
    if state == "pending":
        await client.xreadgroup(GROUP, "other", {name: ">"})
    assert not await count_change.change(client, 4, 8)
    assert await client.get(STREAM_COUNT) is None
    await client.delete(name)
    assert await count_change.change(client, 4, 8)
    assert await client.get(STREAM_COUNT) == b"8"


async def test_a_change_fails_if_another_was_faster(client: Any) -> None:
    await client.set(STREAM_COUNT, 5)
    assert not await count_change.change(client, 4, 8)
    await count_change.begin(client, 9)
    assert not await count_change.change(client, 5, 8)
    with pytest.raises(NotDrained, match="being changed to 9"):
        await count_change.begin(client, 8)
    await count_change.cancel(client, 8)
    assert await client.get(NEXT_STREAMS) == b"9"
    assert await client.get(STREAM_COUNT) == b"5"


async def test_events_in_a_stream_without_a_reader_count_as_lag(client: Any) -> None:
    await client.xadd(event_stream(9), {"event": "e"})
    assert await admin.lag(client) == {
        **dict.fromkeys(map(event_stream, range(4)), 0),
        event_stream(9): 1,
    }


async def test_a_dead_letter_of_a_removed_stream_is_replayed_to_an_existing_one(
    any_redis_url: str, client: Any
) -> None:
    await client.set(STREAM_COUNT, 4)
    outbound = RedisOutbound(any_redis_url, ManualClock())
    await outbound.dead_letter([DeadLetter(event_stream(9), b"1-1", b"e", "a reason", 1)])
    await outbound.close()
    (dead_letter,) = await RedisDeadLetterStore(client).page(50)
    await RedisDeadLetterStore(client).replay(dead_letter.id)
    assert await client.xlen(event_stream(9)) == 0
    assert await client.xlen(event_stream(1)) == 1
    assert await RedisDeadLetterStore(client).page(50) == []


async def test_a_daemon_restores_a_missing_number_and_ends_when_it_differs(
    any_redis_url: str, client: Any
) -> None:
    registry = RedisProcessRegistry(any_redis_url)
    watcher = StreamCountWatcher(registry, 6, SystemClock())
    try:
        await watcher.check()
        assert await client.get(STREAM_COUNT) == b"6"
        await watcher.check()
        await client.set(STREAM_COUNT, 7)
        with pytest.raises(StreamCountMismatch, match="changed from 6 to 7"):
            await watcher.check()
    finally:
        await registry.close()
