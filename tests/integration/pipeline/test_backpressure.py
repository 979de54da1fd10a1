"""A shard that takes nothing, and more events than memory holds: the consumer waits, says so, and
goes on where it stopped (D6)."""

from collections.abc import Iterator

import pytest
import redis
from tests.fault.harness.servers import Client
from tests.support.pipeline.in_memory_pipeline import STREAM
from tests.support.pipeline.recording_shard import envelope, reading

from goald.redis_keys import DEAD, FIELD

WINDOW = 256 << 10
EVENTS = 20_000
GARBAGE = b"{" + b"x" * 400


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    with redis.Redis.from_url(redis_url) as made:
        yield made


def send(client: Client, event: bytes, count: int) -> None:
    for _ in range(count // 5_000):
        with client.pipeline(transaction=False) as pipe:
            for _ in range(5_000):
                pipe.xadd(STREAM, {FIELD: event})
            pipe.execute()


def lag(client: Client) -> int:
    return int(client.xinfo_groups(STREAM)[0]["lag"])


async def test_what_is_held_while_a_shard_is_away_is_bounded(
    redis_url: str, client: Client
) -> None:
    async with reading(redis_url, in_flight_bytes=WINDOW) as made:
        made.shard.is_away = True
        send(client, envelope("ann"), EVENTS)
        await made.until(
            "not_ready_reason",
            lambda: made.consumer.not_ready_reason == "shard 0 accepts no events",
        )
        assert not made.consumer.ready
        await made.until("a heartbeat", lambda: made.counted("goald_in_flight_bytes") > 0)
        one_read = 500 * (len(envelope("ann")) + 64)
        assert made.counted("goald_in_flight_bytes") < WINDOW + one_read
        assert lag(client) == EVENTS
        made.shard.is_away = False
        await made.until("end of the lag", lambda: lag(client) == 0)
        await made.until("readiness", lambda: made.consumer.ready)
        assert made.shard.contacts == ["ann"] * EVENTS
        assert made.shard.largest_call <= 1 << 16
        await made.until("an empty window", lambda: made.counted("goald_in_flight_bytes") == 0)


async def test_garbage_behind_what_a_shard_does_not_take_is_held_in_bounds_too(
    redis_url: str, client: Client
) -> None:
    async with reading(redis_url, in_flight_bytes=WINDOW) as made:
        made.shard.is_away = True
        client.xadd(STREAM, {FIELD: envelope("ann")})
        send(client, GARBAGE, EVENTS)
        await made.until("not_ready_reason", lambda: made.consumer.not_ready_reason)
        read = made.counted("goald_events_read")
        await made.until("a heartbeat", lambda: made.counted("goald_events_read") >= read > 0)
        assert made.counted("goald_in_flight_bytes") < 2 * WINDOW
        assert made.counted("goald_events_read") < EVENTS / 4
        assert lag(client) == EVENTS + 1
        made.shard.is_away = False
        await made.until("end of the lag", lambda: lag(client) == 0)
        assert made.shard.contacts == ["ann"]
        assert client.xlen(DEAD) == EVENTS


async def test_a_shard_that_hangs_is_told_and_what_it_holds_is_not_acknowledged(
    redis_url: str, client: Client
) -> None:
    async with reading(redis_url, in_flight_bytes=WINDOW) as made:
        made.shard.may_finish.clear()
        send(client, envelope("ann"), 5_000)
        await made.until("not_ready_reason", lambda: made.consumer.not_ready_reason)
        assert "have not been processed" in str(made.consumer.not_ready_reason)
        assert lag(client) == 5_000
        made.shard.may_finish.set()
        await made.until("end of the lag", lambda: lag(client) == 0)
        await made.until("readiness", lambda: made.consumer.ready)
