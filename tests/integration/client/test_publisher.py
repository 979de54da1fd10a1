"""`goald.client.Publisher` over a real Redis."""

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgpack
import pytest
from redis.asyncio import Redis
from tests.support.services.redis_proxy import Proxy

from goald import _native
from goald.client import Publisher, ServiceUnavailable, event
from goald.domain.slots import slot_of
from goald.domain.streams import partition_of


@pytest.fixture
async def client(any_redis_url: str) -> AsyncIterator[Any]:
    """A client of an empty server."""
    async with Redis.from_url(any_redis_url) as client:
        yield client


@pytest.fixture
async def proxy(any_redis_url: str) -> AsyncIterator[Proxy]:
    """A network to the same server, that can be cut."""
    async with Proxy(any_redis_url.removeprefix("unix://")) as proxy:
        yield proxy


def tag(contact: str, number: int) -> dict[str, Any]:
    return event("contact.tag.added", "acme", contact, {"tag_id": f"t-{number}"}, id=f"e-{number}")


async def sent(client: Any, streams: int = 4) -> dict[int, list[dict[str, Any]]]:
    return {
        partition: [
            json.loads(fields[b"event"])
            for _, fields in await client.xrange(f"goald:events:{partition}")
        ]
        for partition in range(streams)
    }


def first_times(ids: list[str]) -> list[str]:
    return list(dict.fromkeys(ids))


@pytest.mark.parametrize("contact", ["c-1", "Ärzte", "顧客", "🙂", "a b"])
def test_slots_are_those_of_the_engine(contact: str) -> None:
    assert slot_of("acme", contact) == _native.slot_of("acme", contact)
    assert slot_of("acme", contact) == zlib.crc32(f"acme\x1f{contact}".encode()) % 256


async def test_each_event_goes_to_its_contacts_stream_in_order(
    any_redis_url: str, client: Any
) -> None:
    async with Publisher(any_redis_url) as publisher:
        assert await publisher.publish_many(tag(f"c-{n % 50}", n) for n in range(5_000)) == 5_000
    by_stream = await sent(client)
    assert sum(map(len, by_stream.values())) == 5_000
    for partition, events in by_stream.items():
        assert events
        for contact in {e["data"]["contact_id"] for e in events}:
            assert partition_of("acme", contact, 4) == partition
            numbers = [int(e["id"][2:]) for e in events if e["data"]["contact_id"] == contact]
            assert numbers == sorted(numbers)


async def test_events_follow_the_stored_number_of_streams(any_redis_url: str, client: Any) -> None:
    await client.set("goald:streams", 1)
    async with Publisher(any_redis_url) as publisher:
        await publisher.publish_many(tag(f"c-{n}", n) for n in range(20))
        await publisher.flush()
        assert len((await sent(client))[0]) == 20
        await client.set("goald:streams", 8)
        await publisher.publish(tag("c-0", 20))  # After this batch the new number is known.
        await publisher.flush()
        await publisher.publish_many(tag(f"c-{n}", n) for n in range(100))
    by_stream = await sent(client, 8)
    assert all(by_stream.values())


async def test_flush_returns_when_redis_has_everything(any_redis_url: str, client: Any) -> None:
    async with Publisher(any_redis_url) as publisher:
        for number in range(10):
            await publisher.publish(tag("c-1", number))
            await publisher.flush()
            assert sum(map(len, (await sent(client)).values())) == number + 1


async def test_the_settings_of_a_client_are_taken_over(any_redis_url: str, client: Any) -> None:
    async with (
        Redis.from_url(any_redis_url, decode_responses=True) as given,
        Publisher(given) as publisher,
    ):
        await publisher.publish(tag("c-1", 1))
    assert sum(map(len, (await sent(client)).values())) == 1


async def test_events_can_be_sent_as_messagepack(any_redis_url: str, client: Any) -> None:
    await client.set("goald:streams", 1)
    envelope = tag("c-1", 1)
    async with Publisher(any_redis_url, format="msgpack") as publisher:
        await publisher.publish(envelope)
    ((_, fields),) = await client.xrange("goald:events:0")
    assert msgpack.unpackb(fields[b"event"]) == envelope


async def test_a_full_buffer_makes_publish_wait(proxy: Proxy, client: Any) -> None:
    proxy.cut()
    async with Publisher(proxy.url, buffer_events=10) as publisher:
        publishing = asyncio.create_task(
            publisher.publish_many(tag("c-1", n) for n in range(2_000))
        )
        done, _ = await asyncio.wait([publishing], timeout=0.2)
        assert not done
        proxy.restore()
        assert await publishing == 2_000
    ids = [e["id"] for events in (await sent(client)).values() for e in events]
    assert ids == [f"e-{n}" for n in range(2_000)]


async def test_a_batch_that_failed_is_sent_before_anything_later(proxy: Proxy, client: Any) -> None:
    """The network breaks again and again, also after Redis took a batch and before it message
    so: every event arrives, and by first arrival in order."""
    await client.set("goald:streams", 1)
    async with Publisher(proxy.url) as publisher:
        await publisher.publish(tag("c-1", 0))
        await publisher.flush()
        for round_ in range(6):
            if round_ % 2:
                proxy.lose_replies = True
            else:
                proxy.cut()
            await publisher.publish_many(
                tag("c-1", n) for n in range(1 + 300 * round_, 301 + 300 * round_)
            )
            await asyncio.wait([asyncio.create_task(publisher.flush())], timeout=0.1)
            proxy.restore()
            await publisher.flush()
    ids = [e["id"] for e in (await sent(client))[0]]
    assert first_times(ids) == [f"e-{n}" for n in range(1_801)]
    assert len(ids) > len(set(ids))


async def test_flush_raises_after_its_patience_and_nothing_is_lost(
    proxy: Proxy, client: Any
) -> None:
    proxy.cut()
    publisher = Publisher(proxy.url, patience_s=0.05)
    await publisher.publish_many(tag("c-1", n) for n in range(5))
    with pytest.raises(ServiceUnavailable):
        await publisher.flush()
    proxy.restore()
    await publisher.flush(patience_s=30)
    await publisher.aclose()
    assert sum(map(len, (await sent(client)).values())) == 5


async def test_closing_says_how_many_events_were_not_sent(proxy: Proxy) -> None:
    proxy.cut()
    publisher = Publisher(proxy.url, patience_s=0.05)
    await publisher.publish_many(tag("c-1", n) for n in range(5))
    with pytest.raises(ServiceUnavailable, match="5 events were not sent"):
        await publisher.aclose()
    with pytest.raises(ServiceUnavailable):
        await publisher.publish(tag("c-1", 6))


async def test_a_full_redis_is_waited_out(any_redis_url: str, client: Any) -> None:
    async with Publisher(any_redis_url) as publisher:
        await client.config_set("maxmemory", 1)
        try:
            await publisher.publish(tag("c-1", 1))
            flushing = asyncio.create_task(publisher.flush())
            done, _ = await asyncio.wait([flushing], timeout=0.2)
            assert not done
        finally:
            await client.config_set("maxmemory", 0)
        await flushing
    assert sum(map(len, (await sent(client)).values())) == 1


async def test_a_permanent_failure_is_raised_immediately(any_redis_url: str, client: Any) -> None:
    await client.set("goald:streams", 1)
    await client.set("goald:events:0", "not a stream")
    publisher = Publisher(any_redis_url, patience_s=3_600)
    await publisher.publish(tag("c-1", 1))
    with pytest.raises(ServiceUnavailable, match="WRONGTYPE"):
        await publisher.flush()
    with pytest.raises(ServiceUnavailable):
        await publisher.aclose()


def test_an_event_made_here_is_a_cloudevent_with_its_contact() -> None:
    envelope = event(
        "payment.completed",
        "acme",
        "c-1",
        {"amount": "12.50"},
        id="e-1",
        time=datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
        source="shop",
        traceparent="00-1-2-01",
    )
    assert envelope == {
        "specversion": "1.0",
        "id": "e-1",
        "source": "shop",
        "type": "payment.completed",
        "time": "2026-01-02T03:04:05.000678Z",
        "tenantid": "acme",
        "data": {"contact_id": "c-1", "amount": "12.50"},
        "traceparent": "00-1-2-01",
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": ""}, "id"),
        ({"type": 7}, "type"),
        ({"time": None}, "time"),
        ({"tenantid": "x" * 257}, "tenantid"),
        ({"tenantid": "a\x00b"}, "control"),
        ({"data": []}, "contact_id"),
        ({"data": {"contact_id": ""}}, "contact_id"),
        ({"data": {"contact_id": "c", "amount": float("nan")}}, "JSON"),
        ({"data": {"contact_id": "c", "note": "x" * 270_000}}, "262144"),
        ({"data": {"contact_id": "c", "note": {1, 2}}}, "JSON"),
        ({"data": {"contact_id": "\ud800"}}, "invisible"),
    ],
)
async def test_an_event_that_goald_would_refuse_is_not_taken(
    redis_url: str, change: dict[str, Any], message: str
) -> None:
    async with Publisher(redis_url) as publisher:
        with pytest.raises(ValueError, match=message):
            await publisher.publish({**tag("c-1", 1), **change})
    async with Redis.from_url(redis_url) as client:
        assert await client.keys("goald:events:*") == []


def test_a_contact_cannot_be_named_twice() -> None:
    with pytest.raises(ValueError, match="c-2"):
        event("form.submitted", "acme", "c-1", {"contact_id": "c-2"})


def test_a_time_without_an_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="offset"):
        event("form.submitted", "acme", "c-1", time=datetime(2026, 1, 1))  # noqa: DTZ001
