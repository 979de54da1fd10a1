"""Exits that nobody acknowledges come again (3.2)."""

import asyncio

import pytest
from tests.support.pipeline.outbox_harness import Desk, in_no_time


@pytest.fixture
def over_days(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks are seldom, so that there are not a million of them."""
    for name in (
        "goald.pipeline.outbox.publish.MARK_SECONDS",
        "goald.pipeline.outbox.republish.CHECK_SECONDS",
    ):
        monkeypatch.setattr(name, 60.0)


@in_no_time
async def test_exit_comes_again_until_it_is_acknowledged(desk: Desk) -> None:
    async with desk.running(exit_retry=60) as publisher:
        await desk.exit(publisher, "e-1", "e-2")
        await asyncio.sleep(50)
        assert desk.exits == ["e-1", "e-2"]
        await asyncio.sleep(15)
        assert desk.exits == ["e-1", "e-2"] * 2
        await desk.acknowledge("e-1")
        await asyncio.sleep(65)
        assert desk.exits == ["e-1", "e-2"] * 2 + ["e-2"]
        await desk.acknowledge("e-2")
        await asyncio.sleep(600)
        assert desk.exits == ["e-1", "e-2"] * 2 + ["e-2"]
        assert desk.retried == 3


@in_no_time
async def test_exit_comes_again_from_the_next_holder(desk: Desk) -> None:
    async with desk.running(exit_retry=60) as publisher:
        await desk.exit(publisher, "e-1")
        await asyncio.sleep(1)
    async with desk.running(exit_retry=60):
        await asyncio.sleep(61)
        assert desk.exits == ["e-1", "e-1"]


@pytest.mark.usefixtures("over_days")
@in_no_time
async def test_exit_that_waits_outlives_the_outbox(desk: Desk) -> None:
    async with desk.running(keep=600, exit_retry=3_600) as publisher:
        await desk.exit(publisher, "e-1")
        await asyncio.sleep(3_800)
        assert desk.exits == ["e-1", "e-1"]
        await desk.acknowledge("e-1")
        await asyncio.sleep(3 * 3_600)
        assert not desk.database.outbox


@pytest.mark.usefixtures("over_days")
@in_no_time
async def test_nobody_is_waited_for_longer_than_a_day(desk: Desk) -> None:
    async with desk.running(exit_retry=6 * 3_600) as publisher:
        await desk.exit(publisher, "e-1")
        await asyncio.sleep(3 * 86_400)
        assert 3 <= len(desk.exits) <= 4
        assert not desk.database.outbox


@pytest.mark.usefixtures("over_days")
@in_no_time
async def test_exits_do_not_come_again_where_nobody_asked_for_it(desk: Desk) -> None:
    async with desk.running() as publisher:
        await desk.exit(publisher, "e-1")
        await asyncio.sleep(86_400)
        assert desk.exits == ["e-1"]
        assert not desk.database.outbox
