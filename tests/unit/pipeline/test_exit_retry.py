"""Unacknowledged exits are published again."""

import asyncio

import pytest
from tests.support.pipeline.outbox_harness import OutboxHarness, on_virtual_time


@pytest.fixture
def rare_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check once a minute, because the test covers days."""
    for name in (
        "goald.pipeline.outbox.publish.MARK_SECONDS",
        "goald.pipeline.outbox.republish.CHECK_SECONDS",
    ):
        monkeypatch.setattr(name, 60.0)


@on_virtual_time
async def test_exit_is_republished_until_it_is_acknowledged(harness: OutboxHarness) -> None:
    async with harness.running(exit_retry=60) as publisher:
        await harness.exit(publisher, "e-1", "e-2")
        await asyncio.sleep(50)
        assert harness.exits == ["e-1", "e-2"]
        await asyncio.sleep(15)
        assert harness.exits == ["e-1", "e-2"] * 2
        await harness.acknowledge("e-1")
        await asyncio.sleep(65)
        assert harness.exits == ["e-1", "e-2"] * 2 + ["e-2"]
        await harness.acknowledge("e-2")
        await asyncio.sleep(600)
        assert harness.exits == ["e-1", "e-2"] * 2 + ["e-2"]
        assert harness.retried == 3


@on_virtual_time
async def test_next_holder_republishes_an_unacknowledged_exit(harness: OutboxHarness) -> None:
    async with harness.running(exit_retry=60) as publisher:
        await harness.exit(publisher, "e-1")
        await asyncio.sleep(1)
    async with harness.running(exit_retry=60):
        await asyncio.sleep(61)
        assert harness.exits == ["e-1", "e-1"]


@pytest.mark.usefixtures("rare_checks")
@on_virtual_time
async def test_unacknowledged_exit_is_kept_beyond_the_retention(harness: OutboxHarness) -> None:
    async with harness.running(keep=600, exit_retry=3_600) as publisher:
        await harness.exit(publisher, "e-1")
        await asyncio.sleep(3_800)
        assert harness.exits == ["e-1", "e-1"]
        await harness.acknowledge("e-1")
        await asyncio.sleep(3 * 3_600)
        assert not harness.database.outbox


@pytest.mark.usefixtures("rare_checks")
@on_virtual_time
async def test_exit_older_than_a_day_is_not_republished(harness: OutboxHarness) -> None:
    async with harness.running(exit_retry=6 * 3_600) as publisher:
        await harness.exit(publisher, "e-1")
        await asyncio.sleep(3 * 86_400)
        assert 3 <= len(harness.exits) <= 4
        assert not harness.database.outbox


@pytest.mark.usefixtures("rare_checks")
@on_virtual_time
async def test_exits_are_not_republished_without_the_setting(harness: OutboxHarness) -> None:
    async with harness.running() as publisher:
        await harness.exit(publisher, "e-1")
        await asyncio.sleep(86_400)
        assert harness.exits == ["e-1"]
        assert not harness.database.outbox
