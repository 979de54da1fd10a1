"""A consumer whose shard accepts no events bounds its memory, is not ready, and continues when the
shard accepts events again (D6)."""

from collections.abc import Iterator

import pytest
import redis
from tests.fault.harness.servers import Client
from tests.support.pipeline.in_memory_pipeline import STREAM
from tests.support.pipeline.recording_shard import envelope, running_consumer

from goald.redis_keys import DEAD, FIELD

WINDOW = 256 << 10
EVENTS = 20_000
GARBAGE = b"{" + b"x" * 400


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def send(client: Client, event: bytes, count: int) -> None:
    for _ in range(count // 5_000):
        with client.pipeline(transaction=False) as pipe:
            for _ in range(5_000):
                pipe.xadd(STREAM, {FIELD: event})
            pipe.execute()


def lag(client: Client) -> int:
    return int(client.xinfo_groups(STREAM)[0]["lag"])


async def test_memory_is_bounded_while_a_shard_is_unavailable(
    redis_url: str, client: Client
) -> None:
    async with running_consumer(redis_url, in_flight_bytes=WINDOW) as running:
        running.shard.is_unavailable = True
        send(client, envelope("ann"), EVENTS)
        await running.until(
            "not_ready_reason",
            lambda: running.consumer.not_ready_reason == "shard 0 accepts no events",
        )
        assert not running.consumer.ready
        await running.until("a heartbeat", lambda: running.counted("goald_in_flight_bytes") > 0)
        bytes_per_read = 500 * (len(envelope("ann")) + 64)
        assert running.counted("goald_in_flight_bytes") < WINDOW + bytes_per_read
        assert lag(client) == EVENTS
        running.shard.is_unavailable = False
        await running.until("end of the lag", lambda: lag(client) == 0)
        await running.until("readiness", lambda: running.consumer.ready)
        assert running.shard.contacts == ["ann"] * EVENTS
        assert running.shard.largest_call <= 1 << 16
        await running.until(
            "an empty window", lambda: running.counted("goald_in_flight_bytes") == 0
        )


async def test_memory_is_bounded_for_malformed_events_after_an_event_that_waits(
    redis_url: str, client: Client
) -> None:
    async with running_consumer(redis_url, in_flight_bytes=WINDOW) as running:
        running.shard.is_unavailable = True
        client.xadd(STREAM, {FIELD: envelope("ann")})
        send(client, GARBAGE, EVENTS)
        await running.until("not_ready_reason", lambda: running.consumer.not_ready_reason)
        read = running.counted("goald_events_read")
        await running.until("a heartbeat", lambda: running.counted("goald_events_read") >= read > 0)
        assert running.counted("goald_in_flight_bytes") < 2 * WINDOW
        assert running.counted("goald_events_read") < EVENTS / 4
        assert lag(client) == EVENTS + 1
        running.shard.is_unavailable = False
        await running.until("end of the lag", lambda: lag(client) == 0)
        assert running.shard.contacts == ["ann"]
        assert client.xlen(DEAD) == EVENTS


async def test_a_hanging_shard_is_reported_and_its_events_are_not_acknowledged(
    redis_url: str, client: Client
) -> None:
    async with running_consumer(redis_url, in_flight_bytes=WINDOW) as running:
        running.shard.may_finish.clear()
        send(client, envelope("ann"), 5_000)
        await running.until("not_ready_reason", lambda: running.consumer.not_ready_reason)
        assert "have not been processed" in str(running.consumer.not_ready_reason)
        assert lag(client) == 5_000
        running.shard.may_finish.set()
        await running.until("end of the lag", lambda: lag(client) == 0)
        await running.until("readiness", lambda: running.consumer.ready)
