"""Redis loses data or is replaced: reading continues and skips no remaining entry (D6, D10)."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.exceptions import RedisError
from tests.fault.harness.servers import Client, RedisServer
from tests.support.pipeline.in_memory_pipeline import STREAM
from tests.support.pipeline.recording_shard import ConsumerHarness, envelope, running_consumer

from goald.redis_keys import FIELD, GROUP
from goald.runtime.embedded import DataDirectory

HOUR_MS = 3_600_000


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A dedicated Valkey for this test."""
    path = Path(tempfile.mkdtemp(prefix="goald-", dir="/tmp"))
    try:
        with DataDirectory.open(path / "data") as data:
            created = RedisServer(data)
            try:
                created.start()
                yield created
            finally:
                created.stop()
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def client(server: RedisServer) -> Iterator[Client]:
    with server.client() as created:
        yield created


def send(client: Client, *contacts: str, ahead_ms: int = 0) -> None:
    """Publish an event for each contact. `ahead_ms`: how far the server's clock is ahead."""
    now = int(time.time() * 1000) + ahead_ms
    for number, contact in enumerate(contacts):
        entry_id = f"{now}-{number}" if ahead_ms else "*"
        client.xadd(STREAM, {FIELD: envelope(contact)}, id=entry_id)


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


def position(client: Client) -> bytes | None:
    """The acknowledged position; None if there is no group."""
    try:
        groups = client.xinfo_groups(STREAM)
    except RedisError:
        return None
    found = [bytes(group["last-delivered-id"]) for group in groups if group["name"] == b"goald"]
    return found[0] if found else None


def is_done(client: Client) -> bool:
    """Whether the last entry is acknowledged."""
    newest = client.xrevrange(STREAM, count=1)
    return not newest or position(client) == newest[0][0]


async def has_done(created: ConsumerHarness, client: Client, *contacts: str) -> None:
    await created.until("end of the lag", lambda: is_done(client))
    assert set(contacts) <= set(created.shard.contacts)


async def test_after_a_flush_the_group_is_created_again_and_reading_continues(
    server: RedisServer, client: Client
) -> None:
    async with running_consumer(server.url) as created:
        send(client, *names("a", 50))
        await has_done(created, client, *names("a", 50))
        client.flushall()
        await created.until("group", lambda: position(client) == b"0-0", seconds=5)
        send(client, *names("b", 50))
        await has_done(created, client, *names("b", 50))
        assert created.counted("goald_events_lost") == 0


async def test_after_a_flush_under_load_every_later_event_is_processed(
    server: RedisServer, client: Client
) -> None:
    async with running_consumer(server.url) as created:
        for turn in range(5):
            send(client, *names(f"before{turn}-", 30))
            await asyncio.sleep(0.005 * turn)
            client.flushall()
            send(client, *names(f"after{turn}-", 30))
            await has_done(created, client, *names(f"after{turn}-", 30))
        await created.until("heartbeat", lambda: created.counted("goald_streams_replaced") >= 5)
        assert created.counted("goald_events_lost") == 0


async def test_a_removed_group_is_created_again_without_new_events(
    server: RedisServer, client: Client
) -> None:
    async with running_consumer(server.url) as created:
        send(client, "a")
        await has_done(created, client, "a")
        client.xgroup_destroy(STREAM, GROUP)
        await created.until("group", lambda: position(client) is not None, seconds=5)
        await has_done(created, client, "a")


async def test_events_are_processed_again_after_an_operator_resets_the_group(
    server: RedisServer, client: Client
) -> None:
    async with running_consumer(server.url) as created:
        send(client, *names("a", 5))
        await has_done(created, client, *names("a", 5))
        client.xgroup_setid(STREAM, GROUP, "0")
        await created.until("repeats", lambda: created.shard.contacts == names("a", 5) * 2)
        await has_done(created, client)


async def test_an_empty_redis_whose_clock_is_behind_is_read_from_its_beginning(
    server: RedisServer, client: Client
) -> None:
    """New ids are lower than the last id read. A reader that waits for a higher id would wait
    for an hour."""
    async with running_consumer(server.url) as created:
        send(client, *names("a", 20), ahead_ms=HOUR_MS)
        await has_done(created, client, *names("a", 20))
        server.kill()
        server.empty()
        server.start()
        send(client, *names("b", 20))
        await has_done(created, client, *names("b", 20))


async def test_an_older_copy_is_read_from_where_it_was_acknowledged(
    server: RedisServer, client: Client, tmp_path: Path
) -> None:
    async with running_consumer(server.url) as created:
        send(client, *names("a", 20))
        await has_done(created, client, *names("a", 20))
        created.shard.may_finish.clear()
        send(client, *names("b", 20))
        await created.until("reading", lambda: "b19" in created.shard.contacts)
        server.copy(tmp_path / "copy")
        created.shard.may_finish.set()
        send(client, *names("c", 20), ahead_ms=HOUR_MS)
        await has_done(created, client, *names("c", 20))
        server.kill()
        server.replace(tmp_path / "copy")
        server.start()
        assert not is_done(client)
        created.shard.contacts.clear()
        send(client, *names("d", 20))
        await has_done(created, client, *names("b", 20), *names("d", 20))


@pytest.mark.parametrize("cut", [1_000, 20_000, 1_000_000])
async def test_an_append_only_file_truncated_while_events_are_in_flight(
    server: RedisServer, client: Client, cut: int
) -> None:
    async with running_consumer(server.url) as created:
        send(client, *names("a", 100))
        await has_done(created, client, *names("a", 100))
        created.shard.may_finish.clear()
        send(client, *names("b", 100), ahead_ms=HOUR_MS)
        await created.until("reading", lambda: "b99" in created.shard.contacts)
        server.kill()
        server.cut(cut)
        server.start()
        created.shard.contacts.clear()
        created.shard.may_finish.set()
        send(client, *names("c", 100), ahead_ms=HOUR_MS)
        await has_done(created, client, *names("c", 100))


async def test_a_restart_without_loss_repeats_at_most_what_was_in_flight(
    server: RedisServer, client: Client
) -> None:
    async with running_consumer(server.url) as created:
        send(client, *names("a", 50))
        await has_done(created, client, *names("a", 50))
        server.kill()
        server.start()
        send(client, *names("b", 50))
        await has_done(created, client, *names("b", 50))
        assert created.shard.contacts == names("a", 50) + names("b", 50)


async def test_entries_that_were_trimmed_before_they_were_read_are_counted(
    server: RedisServer, client: Client
) -> None:
    async with running_consumer(server.url) as created:
        send(client, *names("a", 10))
        await has_done(created, client, *names("a", 10))
        with client.pipeline(transaction=True) as pipe:
            for contact in names("b", 90):
                pipe.xadd(STREAM, {FIELD: envelope(contact)})
            pipe.xtrim(STREAM, maxlen=20, approximate=False)
            pipe.execute()
        await has_done(created, client, *names("b", 90)[-20:])
        await created.until("count", lambda: created.counted("goald_events_lost") > 0)
        client.xtrim(STREAM, maxlen=0)
        send(client, "c")
        await has_done(created, client, "c")
        await created.until("a look", lambda: created.counted("goald_events_acknowledged") == 31)
        assert created.counted("goald_events_lost") == 70
        assert client.xinfo_groups(STREAM)[0]["lag"] == 0


async def test_a_consumer_reports_a_stopped_redis_and_continues_after_it(
    server: RedisServer, client: Client
) -> None:
    async with running_consumer(server.url) as created:
        server.pause()
        try:
            await created.until("not_ready_reason", lambda: created.consumer.not_ready_reason)
            assert "Redis" in str(created.consumer.not_ready_reason)
        finally:
            server.resume()
        await created.until("readiness", lambda: created.consumer.ready)
        send(client, "a")
        await has_done(created, client, "a")
