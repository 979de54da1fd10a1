"""Publishing again: nothing that Redis lost stays lost (D10)."""

import asyncio
from collections.abc import Callable

import pytest
from tests.support.pipeline.outbox_harness import Desk, in_no_time

from goald.domain.errors import ServiceUnavailable
from goald.ports.outbox import StoredMessage
from goald.redis_keys import EXITS


@in_no_time
async def test_exits_that_redis_lost_come_again_in_order_and_under_the_same_ids(
    desk: Desk,
) -> None:
    async with desk.running() as publisher:
        await desk.exit(publisher, "e-1", "e-2")
        await desk.exit(publisher, "e-3")
        desk.streams.flush()
        await asyncio.sleep(2)
        assert desk.exits == ["e-1", "e-2", "e-3"]
        assert desk.republished == 3
        await asyncio.sleep(600)
        assert desk.republished == 3


@in_no_time
async def test_a_redis_that_was_started_anew_gets_them_again(desk: Desk) -> None:
    async with desk.running() as publisher:
        await desk.exit(publisher, "e-1")
        await asyncio.sleep(1)
        desk.streams.run_id = "another"
        await asyncio.sleep(2)
        assert desk.exits == ["e-1", "e-1"]
        await asyncio.sleep(600)
        assert desk.exits == ["e-1", "e-1"]


@in_no_time
async def test_exit_that_was_published_the_moment_before_the_loss_comes_again(
    desk: Desk,
) -> None:
    """It is not even marked yet."""
    async with desk.running():
        await asyncio.sleep(1)
    publisher = await desk.publisher()
    await desk.exit(publisher, "e-1")
    desk.streams.flush()
    running = asyncio.ensure_future(publisher.run())
    await asyncio.sleep(5)
    assert desk.exits == ["e-1"]
    running.cancel()
    await asyncio.wait({running})


@in_no_time
async def test_a_redis_that_is_the_same_with_less_gets_them_again(desk: Desk) -> None:
    """As one is that took over the data of a replica that was behind."""
    async with desk.running() as publisher:
        await desk.exit(publisher, "e-1")
        before = dict(desk.streams.positions)
        await desk.exit(publisher, "e-2")
        desk.streams.stream(EXITS).entries.popitem()
        desk.streams.positions = before
        await asyncio.sleep(2)
        assert desk.exits[-2:] == ["e-1", "e-2"]


@in_no_time
async def test_less_is_noticed_also_where_publishing_goes_on(desk: Desk) -> None:
    async with desk.running() as publisher:
        await desk.exit(publisher, "e-1")
        before = dict(desk.streams.positions)
        await desk.exit(publisher, "e-2")
        desk.streams.stream(EXITS).entries.popitem()
        desk.streams.positions = before
        await desk.exit(publisher, "e-3")
        await asyncio.sleep(2)
        assert "e-2" in desk.exits


@in_no_time
async def test_what_was_lost_while_no_shard_ran_comes_again(desk: Desk) -> None:
    async with desk.running() as publisher:
        await desk.exit(publisher, "e-1")
        await asyncio.sleep(1)
    desk.streams.flush()
    async with desk.running():
        assert desk.exits == ["e-1"]


@in_no_time
async def test_what_was_lost_behind_the_back_of_a_dead_shard_is_noticed_by_its_position(
    desk: Desk,
) -> None:
    async with desk.running() as publisher:
        await desk.exit(publisher, "e-1")
        before = dict(desk.streams.positions)
        await desk.exit(publisher, "e-2")
        await asyncio.sleep(1)
    await desk.commit("e-3")
    desk.streams.stream(EXITS).entries.popitem()
    desk.streams.positions = before
    async with desk.running():
        assert "e-2" in desk.exits


@in_no_time
async def test_another_postgres_has_them_published_again(desk: Desk) -> None:
    async with desk.running() as publisher:
        await desk.exit(publisher, "e-1")
        await asyncio.sleep(1)
    desk.database.name = "a standby that took over"
    async with desk.running():
        assert desk.exits == ["e-1", "e-1"]


@in_no_time
async def test_only_what_is_young_comes_again(desk: Desk) -> None:
    async with desk.running(keep=60) as publisher:
        await desk.exit(publisher, "old")
        await asyncio.sleep(61)
        await desk.exit(publisher, "young")
        desk.streams.flush()
        await asyncio.sleep(2)
        assert desk.exits == ["young"]


@in_no_time
async def test_publishing_again_that_is_cut_short_is_begun_again(desk: Desk) -> None:
    """A shard that dies in the middle of it leaves no Redis that is taken for whole."""
    many = [f"e-{number:04}" for number in range(2_300)]
    async with desk.running() as publisher:
        await desk.exit(publisher, *many)
        await asyncio.sleep(1)
        desk.streams.flush()
        desk.outbound.meanwhile = [desk_goes_down(desk), lambda: None]
        await asyncio.sleep(2)
        assert 0 < len(desk.exits) < len(many)
    desk.outbound.down = None
    async with desk.running():
        assert set(desk.exits) == set(many)
        assert desk.exits[-len(many) :] == many


def desk_goes_down(desk: Desk) -> Callable[[], None]:
    def go() -> None:
        desk.outbound.down = ServiceUnavailable("gone")

    return go


@in_no_time
async def test_a_loss_while_it_is_published_again_is_not_missed(desk: Desk) -> None:
    many = [f"e-{number:04}" for number in range(2_300)]
    async with desk.running() as publisher:
        await desk.exit(publisher, *many)
        await asyncio.sleep(1)
        desk.streams.run_id = "another"
        desk.outbound.meanwhile = [desk.streams.flush, lambda: None]
        await asyncio.sleep(10)
        assert set(desk.exits) == set(many)


@in_no_time
async def test_exits_go_on_while_others_are_published_again(desk: Desk) -> None:
    many = [f"e-{number:04}" for number in range(2_300)]
    async with desk.running() as publisher:
        await desk.exit(publisher, *many)
        await asyncio.sleep(1)
        desk.streams.flush()
        going_on: list[asyncio.Future[None]] = []
        desk.outbound.meanwhile = [
            lambda: going_on.append(asyncio.ensure_future(desk.exit(publisher, "new")))
        ]
        await asyncio.sleep(10)
        assert going_on[0].done()
        assert set(desk.exits) == {*many, "new"}
        assert desk.exits.index("new") < len(many)
        assert desk.republished == len(many), "more than once, or what was never lost"


@in_no_time
async def test_a_postgres_that_is_away_only_puts_it_off(desk: Desk) -> None:
    async with desk.running() as publisher:
        await desk.exit(publisher, "e-1")
        await asyncio.sleep(1)

        async def away(*_: object) -> list[StoredMessage]:
            raise ServiceUnavailable("Postgres: gone")

        with pytest.MonkeyPatch.context() as gone:
            gone.setattr(type(desk.store.outbox), "published", away)
            desk.streams.flush()
            await asyncio.sleep(5)
            assert desk.exits == []
        await asyncio.sleep(10)
        assert desk.exits == ["e-1"]
