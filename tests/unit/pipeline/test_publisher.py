"""Publishing: nothing that a customer waits for stays unpublished (step 5)."""

import asyncio

from tests.support.pipeline.outbox_harness import Desk, in_no_time

from goald.domain.errors import ServiceUnavailable


@in_no_time
async def test_exit_is_published_once_where_nothing_happens(desk: Desk) -> None:
    async with desk.running() as publisher:
        await desk.exit(publisher, "e-1", "e-2")
        await asyncio.sleep(3_600)
    async with desk.running():
        await asyncio.sleep(3_600)
    assert desk.exits == ["e-1", "e-2"]
    assert desk.republished == 0


@in_no_time
async def test_outbox_does_not_grow_for_ever(desk: Desk) -> None:
    async with desk.running(keep=600) as publisher:
        await desk.exit(publisher, "e-1")
        await asyncio.sleep(700)
        assert not desk.database.outbox


@in_no_time
async def test_outbox_of_a_great_many_is_emptied_as_soon_as_that_of_few(desk: Desk) -> None:
    async with desk.running(keep=600) as publisher:
        await desk.exit(publisher, *(f"e-{number}" for number in range(12_000)))
        await asyncio.sleep(700)
        assert not desk.database.outbox


@in_no_time
async def test_exit_that_was_committed_by_a_holder_that_died_is_published(desk: Desk) -> None:
    await desk.publisher()
    await desk.commit("e-1")
    async with desk.running():
        assert desk.exits == ["e-1"]


@in_no_time
async def test_exit_that_redis_did_not_take_is_not_marked(desk: Desk) -> None:
    async with desk.running() as publisher:
        desk.outbound.down = ServiceUnavailable("Redis did not take a message: OOM")
        publishing = asyncio.ensure_future(desk.exit(publisher, "e-1"))
        await asyncio.sleep(60)
        assert not publishing.done()
        assert [row.published_at for row in desk.database.outbox.values()] == [None]
        publishing.cancel()
        await asyncio.wait({publishing})
    desk.outbound.down = None
    async with desk.running():
        assert desk.exits == ["e-1"]


@in_no_time
async def test_relays_beside_each_other_publish_once(desk: Desk) -> None:
    publisher = await desk.publisher()
    await desk.commit("e-1", "e-2")
    await asyncio.gather(publisher.publish_backlog(), publisher.publish_backlog())
    assert desk.exits == ["e-1", "e-2"]


@in_no_time
async def test_relay_is_done_only_when_what_it_found_is_published(desk: Desk) -> None:
    """Else a group would be told to be done while another relay still publishes its exits."""
    publisher = await desk.publisher()
    await desk.commit("e-1")
    desk.outbound.down = ServiceUnavailable("gone")
    relays = [asyncio.ensure_future(publisher.publish_backlog()) for _ in range(2)]
    await asyncio.sleep(10)
    assert not any(relay.done() for relay in relays)
    desk.outbound.down = None
    await relays[1]
    assert desk.exits == ["e-1"]
    await relays[0]
    assert desk.exits == ["e-1"]


@in_no_time
async def test_relay_leaves_alone_what_is_published_in_its_turn(desk: Desk) -> None:
    publisher = await desk.publisher()
    rows = await desk.commit("e-1")
    publisher.expect(rows)
    await publisher.publish_backlog()
    assert desk.exits == []
    await publisher.publish(rows)
    await publisher.publish_backlog()
    assert desk.exits == ["e-1"]


@in_no_time
async def test_a_long_outbox_is_relayed_whole_and_in_order(desk: Desk) -> None:
    await desk.publisher()
    many = [f"e-{number:04}" for number in range(2_300)]
    await desk.commit(*many)
    async with desk.running():
        assert desk.exits == many


@in_no_time
async def test_publisher_says_when_redis_takes_nothing(desk: Desk) -> None:
    async with desk.running() as publisher:
        assert desk.context.stall_detector.not_ready_reason is None
        desk.outbound.down = ServiceUnavailable("gone")
        publishing = asyncio.ensure_future(desk.exit(publisher, "e-1"))
        desk.streams.available = False
        await asyncio.sleep(2)
        assert desk.context.stall_detector.not_ready_reason is None
        await asyncio.sleep(5)
        assert "Redis" in (desk.context.stall_detector.not_ready_reason or "")
        desk.outbound.down = None
        desk.streams.available = True
        await asyncio.sleep(5)
        await publishing
        assert desk.context.stall_detector.not_ready_reason is None
