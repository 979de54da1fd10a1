"""The latest deliveries of sources: bounded, apart for verified and unverified ones, and soon
gone."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from goald.adapters.memory.deliveries import MemoryDeliveries
from goald.adapters.redis.deliveries import MAX_BYTES, RedisDeliveries
from goald.domain.errors import ServiceUnavailable
from goald.domain.records.deliveries import DeliveredEvent, DeliveryRecord, masked
from goald.ports.sources.deliveries import MAX_KEPT, DeliveryLog

EVENT = DeliveredEvent("payment.completed", "invoice:in_1", "c-1", "refused", "it has no time")
RECORD = DeliveryRecord(
    "d-1", 1_795_811_375_000_000, "accepted", "secret 1", 512, "application/json", True, 2,
    (EVENT, EVENT), ("a note",),
)  # fmt: skip


@pytest.fixture(params=["memory", "redis"])
async def log(request: pytest.FixtureRequest) -> AsyncIterator[DeliveryLog]:
    adapter: MemoryDeliveries | RedisDeliveries
    if request.param == "memory":
        adapter = MemoryDeliveries()
    else:
        adapter = RedisDeliveries(request.getfixturevalue("redis_url"))
    yield adapter
    await adapter.close()


async def ids(log: DeliveryLog, tenant: str = "acme", *, verified: bool = True) -> list[str]:
    return [record.id for record in await log.latest(tenant, "pay", verified=verified)]


async def test_a_record_comes_back_complete_and_the_newest_first(log: DeliveryLog) -> None:
    log.add("acme", "pay", RECORD)
    log.add("acme", "pay", replace(RECORD, id="d-2", outcome="ignored", events=(), notes=()))

    second, first = await log.latest("acme", "pay", verified=True)

    assert first == RECORD
    assert second.id == "d-2"


async def test_a_flood_of_forgeries_hides_no_genuine_delivery(log: DeliveryLog) -> None:
    log.add("acme", "pay", RECORD)
    for number in range(MAX_KEPT + 20):
        log.add("acme", "pay", replace(RECORD, id=f"u-{number}", outcome="unverified"))

    assert await ids(log) == ["d-1"]
    unverified = await ids(log, verified=False)
    assert len(unverified) == MAX_KEPT
    assert unverified[0] == f"u-{MAX_KEPT + 19}"


async def test_tenants_and_sources_are_apart(log: DeliveryLog) -> None:
    log.add("acme", "pay", RECORD)
    log.add("acme", "other", replace(RECORD, id="d-2"))
    log.add("globex", "pay", replace(RECORD, id="d-3"))

    assert (await ids(log), await ids(log, "globex")) == (["d-1"], ["d-3"])
    await log.clear("acme", "pay")
    assert (await ids(log), await ids(log, "globex")) == ([], ["d-3"])


async def test_a_record_in_redis_is_small_and_expires_with_the_time_for_erasures(
    redis_url: str,
) -> None:
    log = RedisDeliveries(redis_url, kept_seconds=60)
    long = replace(EVENT, id="i" * 100, contact="c" * 100, reason="r" * 200)
    log.add("acme", "pay", replace(RECORD, events=(long,) * 5, notes=("n" * 200,) * 5))
    (record,) = await log.latest("acme", "pay", verified=True)
    await log.close()

    assert 0 < len(record.events) < 5
    digest = hashlib.sha256(b"4:acmepay").hexdigest()
    client: Any = Redis.from_url(redis_url)
    async with client:
        entries = await client.xrange(f"goald:deliveries:{digest}:v")
        assert entries
        assert len(entries[0][1][b"r"]) <= MAX_BYTES
        # Half, because an entry lives for as long again if others follow it.
        assert 0 < await client.ttl(f"goald:deliveries:{digest}:v") <= 30


async def test_an_old_record_is_deleted_by_the_next_one(redis_url: str) -> None:
    log = RedisDeliveries(redis_url, kept_seconds=2)
    log.add("acme", "pay", RECORD)
    assert await ids(log) == ["d-1"]
    for number in range(3):
        await asyncio.sleep(0.7)
        log.add("acme", "pay", replace(RECORD, id=f"n-{number}"))
        await ids(log)

    assert "d-1" not in await ids(log)
    await log.close()


async def test_records_are_lost_quietly_while_redis_is_unavailable() -> None:
    log = RedisDeliveries("unix:///nowhere/redis.sock")
    for _ in range(5_000):
        log.add("acme", "pay", RECORD)
    with pytest.raises(ServiceUnavailable):
        await log.latest("acme", "pay", verified=True)
    log.add("acme", "pay", RECORD)  # the delivery itself is not refused
    await log.close()


def test_addresses_in_ids_are_masked() -> None:
    assert masked("ann@example.com") == "a…@example.com"
    assert masked("booking:ann.b+x@example.com:7") == "booking:a…@example.com:7"
    assert masked("+49 151 23456789") == "+…89"
    assert masked("checkout.session:cs_test_1") == "checkout.session:cs_test_1"
    assert masked("1234567890") == "1234567890", "an id of digits"
    assert len(masked("x" * 500)) == 100
