"""The outbox publisher publishes every committed message."""

import asyncio

from tests.support.pipeline.outbox_harness import OutboxHarness, on_virtual_time

from goald.domain.errors import ServiceUnavailable


@on_virtual_time
async def test_exit_is_published_once_if_nothing_fails(harness: OutboxHarness) -> None:
    async with harness.running() as publisher:
        await harness.exit(publisher, "e-1", "e-2")
        await asyncio.sleep(3_600)
    async with harness.running():
        await asyncio.sleep(3_600)
    assert harness.exits == ["e-1", "e-2"]
    assert harness.republished == 0


@on_virtual_time
async def test_published_rows_are_deleted_after_the_retention(harness: OutboxHarness) -> None:
    async with harness.running(keep=600) as publisher:
        await harness.exit(publisher, "e-1")
        await asyncio.sleep(700)
        assert not harness.database.outbox


@on_virtual_time
async def test_many_published_rows_are_deleted_as_soon_as_few(
    harness: OutboxHarness,
) -> None:
    async with harness.running(keep=600) as publisher:
        await harness.exit(publisher, *(f"e-{number}" for number in range(12_000)))
        await asyncio.sleep(700)
        assert not harness.database.outbox


@on_virtual_time
async def test_exit_committed_by_a_holder_that_died_is_published(
    harness: OutboxHarness,
) -> None:
    await harness.publisher()
    await harness.commit("e-1")
    async with harness.running():
        assert harness.exits == ["e-1"]


@on_virtual_time
async def test_exit_that_redis_did_not_accept_is_not_marked_published(
    harness: OutboxHarness,
) -> None:
    async with harness.running() as publisher:
        harness.outbound.down = ServiceUnavailable("Redis did not take a message: OOM")
        publishing = asyncio.ensure_future(harness.exit(publisher, "e-1"))
        await asyncio.sleep(60)
        assert not publishing.done()
        assert [row.published_at for row in harness.database.outbox.values()] == [None]
        publishing.cancel()
        await asyncio.wait({publishing})
    harness.outbound.down = None
    async with harness.running():
        assert harness.exits == ["e-1"]


@on_virtual_time
async def test_concurrent_backlog_publications_publish_once(harness: OutboxHarness) -> None:
    publisher = await harness.publisher()
    await harness.commit("e-1", "e-2")
    await asyncio.gather(publisher.publish_backlog(), publisher.publish_backlog())
    assert harness.exits == ["e-1", "e-2"]


@on_virtual_time
async def test_backlog_publication_returns_only_when_its_messages_are_published(
    harness: OutboxHarness,
) -> None:
    """Otherwise a group could be done while another call still publishes its exits."""
    publisher = await harness.publisher()
    await harness.commit("e-1")
    harness.outbound.down = ServiceUnavailable("gone")
    calls = [asyncio.ensure_future(publisher.publish_backlog()) for _ in range(2)]
    await asyncio.sleep(10)
    assert not any(call.done() for call in calls)
    harness.outbound.down = None
    await calls[1]
    assert harness.exits == ["e-1"]
    await calls[0]
    assert harness.exits == ["e-1"]


@on_virtual_time
async def test_backlog_publication_skips_messages_that_publish_handles(
    harness: OutboxHarness,
) -> None:
    publisher = await harness.publisher()
    rows = await harness.commit("e-1")
    publisher.expect(rows)
    await publisher.publish_backlog()
    assert harness.exits == []
    await publisher.publish(rows)
    await publisher.publish_backlog()
    assert harness.exits == ["e-1"]


@on_virtual_time
async def test_long_backlog_is_published_completely_and_in_order(harness: OutboxHarness) -> None:
    await harness.publisher()
    many = [f"e-{number:04}" for number in range(2_300)]
    await harness.commit(*many)
    async with harness.running():
        assert harness.exits == many


@on_virtual_time
async def test_publisher_reports_a_redis_that_accepts_nothing(harness: OutboxHarness) -> None:
    async with harness.running() as publisher:
        assert harness.context.stall_detector.not_ready_reason is None
        harness.outbound.down = ServiceUnavailable("gone")
        publishing = asyncio.ensure_future(harness.exit(publisher, "e-1"))
        harness.streams.available = False
        await asyncio.sleep(2)
        assert harness.context.stall_detector.not_ready_reason is None
        await asyncio.sleep(5)
        assert "Redis" in (harness.context.stall_detector.not_ready_reason or "")
        harness.outbound.down = None
        harness.streams.available = True
        await asyncio.sleep(5)
        await publishing
        assert harness.context.stall_detector.not_ready_reason is None
