"""After Redis or Postgres was replaced or lost data, messages are published again (D10)."""

import asyncio
from collections.abc import Callable

import pytest
from tests.support.pipeline.outbox_harness import OutboxHarness, on_virtual_time

from goald.domain.errors import ServiceUnavailable
from goald.ports.outbox import StoredMessage
from goald.redis_keys import EXITS


@on_virtual_time
async def test_exits_that_redis_lost_are_republished_in_order_with_the_same_ids(
    harness: OutboxHarness,
) -> None:
    async with harness.running() as publisher:
        await harness.exit(publisher, "e-1", "e-2")
        await harness.exit(publisher, "e-3")
        harness.streams.flush()
        await asyncio.sleep(2)
        assert harness.exits == ["e-1", "e-2", "e-3"]
        assert harness.republished == 3
        await asyncio.sleep(600)
        assert harness.republished == 3


@on_virtual_time
async def test_exits_are_republished_after_redis_restarted(harness: OutboxHarness) -> None:
    async with harness.running() as publisher:
        await harness.exit(publisher, "e-1")
        await asyncio.sleep(1)
        harness.streams.run_id = "another"
        await asyncio.sleep(2)
        assert harness.exits == ["e-1", "e-1"]
        await asyncio.sleep(600)
        assert harness.exits == ["e-1", "e-1"]


@on_virtual_time
async def test_exit_published_just_before_the_loss_is_republished(
    harness: OutboxHarness,
) -> None:
    """It is not marked as published yet."""
    async with harness.running():
        await asyncio.sleep(1)
    publisher = await harness.publisher()
    await harness.exit(publisher, "e-1")
    harness.streams.flush()
    running = asyncio.ensure_future(publisher.run())
    await asyncio.sleep(5)
    assert harness.exits == ["e-1"]
    running.cancel()
    await asyncio.wait({running})


@on_virtual_time
async def test_exits_are_republished_if_redis_lost_its_last_writes(harness: OutboxHarness) -> None:
    """As after a failover to a replica that lagged behind."""
    async with harness.running() as publisher:
        await harness.exit(publisher, "e-1")
        before = dict(harness.streams.positions)
        await harness.exit(publisher, "e-2")
        harness.streams.stream(EXITS).entries.popitem()
        harness.streams.positions = before
        await asyncio.sleep(2)
        assert harness.exits[-2:] == ["e-1", "e-2"]


@on_virtual_time
async def test_lost_writes_are_noticed_while_publishing_continues(harness: OutboxHarness) -> None:
    async with harness.running() as publisher:
        await harness.exit(publisher, "e-1")
        before = dict(harness.streams.positions)
        await harness.exit(publisher, "e-2")
        harness.streams.stream(EXITS).entries.popitem()
        harness.streams.positions = before
        await harness.exit(publisher, "e-3")
        await asyncio.sleep(2)
        assert "e-2" in harness.exits


@on_virtual_time
async def test_exits_lost_while_no_shard_ran_are_republished(harness: OutboxHarness) -> None:
    async with harness.running() as publisher:
        await harness.exit(publisher, "e-1")
        await asyncio.sleep(1)
    harness.streams.flush()
    async with harness.running():
        assert harness.exits == ["e-1"]


@on_virtual_time
async def test_next_holder_notices_lost_writes_by_the_watermark(
    harness: OutboxHarness,
) -> None:
    async with harness.running() as publisher:
        await harness.exit(publisher, "e-1")
        before = dict(harness.streams.positions)
        await harness.exit(publisher, "e-2")
        await asyncio.sleep(1)
    await harness.commit("e-3")
    harness.streams.stream(EXITS).entries.popitem()
    harness.streams.positions = before
    async with harness.running():
        assert "e-2" in harness.exits


@on_virtual_time
async def test_exits_are_republished_after_postgres_was_replaced(harness: OutboxHarness) -> None:
    async with harness.running() as publisher:
        await harness.exit(publisher, "e-1")
        await asyncio.sleep(1)
    harness.database.name = "promoted standby"
    async with harness.running():
        assert harness.exits == ["e-1", "e-1"]


@on_virtual_time
async def test_only_recent_exits_are_republished(harness: OutboxHarness) -> None:
    async with harness.running(keep=60) as publisher:
        await harness.exit(publisher, "old")
        await asyncio.sleep(61)
        await harness.exit(publisher, "young")
        harness.streams.flush()
        await asyncio.sleep(2)
        assert harness.exits == ["young"]


@on_virtual_time
async def test_interrupted_republication_starts_over(harness: OutboxHarness) -> None:
    """If a shard dies during a republication, the next holder does not regard Redis as complete."""
    many = [f"e-{number:04}" for number in range(2_300)]
    async with harness.running() as publisher:
        await harness.exit(publisher, *many)
        await asyncio.sleep(1)
        harness.streams.flush()
        harness.outbound.meanwhile = [take_redis_down(harness), lambda: None]
        await asyncio.sleep(2)
        assert 0 < len(harness.exits) < len(many)
    harness.outbound.down = None
    async with harness.running():
        assert set(harness.exits) == set(many)
        assert harness.exits[-len(many) :] == many


def take_redis_down(harness: OutboxHarness) -> Callable[[], None]:
    def go() -> None:
        harness.outbound.down = ServiceUnavailable("gone")

    return go


@on_virtual_time
async def test_loss_during_a_republication_is_noticed(harness: OutboxHarness) -> None:
    many = [f"e-{number:04}" for number in range(2_300)]
    async with harness.running() as publisher:
        await harness.exit(publisher, *many)
        await asyncio.sleep(1)
        harness.streams.run_id = "another"
        harness.outbound.meanwhile = [harness.streams.flush, lambda: None]
        await asyncio.sleep(10)
        assert set(harness.exits) == set(many)


@on_virtual_time
async def test_new_exits_are_published_during_a_republication(harness: OutboxHarness) -> None:
    many = [f"e-{number:04}" for number in range(2_300)]
    async with harness.running() as publisher:
        await harness.exit(publisher, *many)
        await asyncio.sleep(1)
        harness.streams.flush()
        concurrent: list[asyncio.Future[None]] = []
        harness.outbound.meanwhile = [
            lambda: concurrent.append(asyncio.ensure_future(harness.exit(publisher, "new")))
        ]
        await asyncio.sleep(10)
        assert concurrent[0].done()
        assert set(harness.exits) == {*many, "new"}
        assert harness.exits.index("new") < len(many)
        assert harness.republished == len(many), "republished twice, or although it was not lost"


@on_virtual_time
async def test_republication_waits_for_an_unavailable_postgres(harness: OutboxHarness) -> None:
    async with harness.running() as publisher:
        await harness.exit(publisher, "e-1")
        await asyncio.sleep(1)

        async def unavailable(*_: object) -> list[StoredMessage]:
            raise ServiceUnavailable("Postgres: unavailable")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(harness.store.outbox), "published", unavailable)
            harness.streams.flush()
            await asyncio.sleep(5)
            assert harness.exits == []
        await asyncio.sleep(10)
        assert harness.exits == ["e-1"]
