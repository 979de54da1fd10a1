"""Publishing, and publishing again: nothing that a customer waits for stays unpublished, and
nothing that Redis lost stays lost (step 5; D10; 3.2). On an event loop of its own time, in
which an hour takes as long as what happens in it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry
from tests.support.changes import NOON, Effect, change
from tests.support.house import FaultyOutbound
from tests.support.virtual_time import LoopClock, VirtualLoop

from goald.adapters.memory.database import MemoryDatabase
from goald.adapters.memory.store import MemoryShardStore
from goald.adapters.memory.streams import MemoryStreams
from goald.domain.errors import ServiceUnavailable
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.domain.streams import EXITS
from goald.metrics import ShardMetrics
from goald.pipeline.publish import Publisher
from goald.ports import Message, Position, StoredMessage

ALL = SlotRange(0, 255)


def exit_of(enrollment: str) -> str:
    return json.dumps({"id": f"exit-{enrollment}", "data": {}})


class Meddling(FaultyOutbound):
    """Takes its time, and does something before it publishes, once."""

    def __init__(self, streams: MemoryStreams) -> None:
        super().__init__(streams)
        self.meanwhile: list[Callable[[], None]] = []

    async def publish(self, messages: Sequence[Message], position: Position | None = None) -> int:
        if self.meanwhile:
            self.meanwhile.pop()()
        await asyncio.sleep(0.001)
        return await super().publish(messages, position)


class Desk:
    """A store, streams and one publisher after another over them."""

    def __init__(self) -> None:
        self.clock = LoopClock(asyncio.get_running_loop(), NOON)
        self.streams = MemoryStreams(self.clock)
        self.outbound = Meddling(self.streams)
        self.database = MemoryDatabase()
        self.store = MemoryShardStore(self.database, self.clock)
        self.metrics = ShardMetrics(CollectorRegistry())
        self.lease: SlotLease

    async def publisher(self, keep: float = 600, exit_retry: float | None = None) -> Publisher:
        """Of a new holder of the slots, which has looked at what there is."""
        self.lease = await self.store.take(ALL, "a")
        made = Publisher(
            self.store.outbox, self.outbound, self.lease, self.clock, self.metrics,
            keep_seconds=keep, exit_retry=exit_retry,
        )  # fmt: skip
        await made.recognise()
        await made.relay()
        return made

    @asynccontextmanager
    async def running(
        self, keep: float = 600, exit_retry: float | None = None
    ) -> AsyncIterator[Publisher]:
        """The same, at work until the end of the body; then it is gone without a word."""
        publisher = await self.publisher(keep, exit_retry)
        running = asyncio.ensure_future(publisher.run())
        try:
            await asyncio.sleep(1.5)
            yield publisher
        finally:
            running.cancel()
            await asyncio.wait({running})

    async def commit(self, *enrollments: str) -> list[StoredMessage]:
        effects = [
            Effect(name, status="completed_goal", ended_at=NOON, messages=[exit_of(name)])
            for name in enrollments
        ]
        return list((await self.store.commit(self.lease, change(*effects))).outbox)

    async def exit(self, publisher: Publisher, *enrollments: str) -> None:
        """Commit these exits and publish them, as a shard does."""
        rows = await self.commit(*enrollments)
        publisher.expect(rows)
        await publisher.publish(rows)

    async def acknowledge(self, enrollment: str) -> None:
        await self.store.commit(
            self.lease, change(acknowledgements=[("acme", enrollment, "ann", "w-1", 3, 0, NOON)])
        )

    @property
    def exits(self) -> list[str]:
        """The enrollments that were told to leave, in order, repeats included."""
        entries = self.streams.entries(EXITS)
        return [json.loads(fields[1])["id"].removeprefix("exit-") for _, fields in entries]

    @property
    def republished(self) -> float:
        return float(self.metrics.republished._value.get())

    @property
    def retried(self) -> float:
        return float(self.metrics.exits_retried._value.get())


def in_no_time(test: Callable[[Desk], Coroutine[None, None, None]]) -> Callable[[], None]:
    """The test, at a desk of its own."""

    async def at_desk() -> None:
        await test(Desk())

    def run() -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(at_desk())

    run.__doc__ = test.__doc__
    return run


@pytest.fixture
def over_days(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks are seldom, so that there are not a million of them."""
    for name in ("goald.pipeline.publish.MARK_SECONDS", "goald.pipeline.republish.LOOK_SECONDS"):
        monkeypatch.setattr(name, 60.0)


# Once


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
    await asyncio.gather(publisher.relay(), publisher.relay())
    assert desk.exits == ["e-1", "e-2"]


@in_no_time
async def test_relay_is_done_only_when_what_it_found_is_published(desk: Desk) -> None:
    """Else a group would be told to be done while another relay still publishes its exits."""
    publisher = await desk.publisher()
    await desk.commit("e-1")
    desk.outbound.down = ServiceUnavailable("gone")
    relays = [asyncio.ensure_future(publisher.relay()) for _ in range(2)]
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
    await publisher.relay()
    assert desk.exits == []
    await publisher.publish(rows)
    await publisher.relay()
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
        assert publisher.trouble is None
        desk.outbound.down = ServiceUnavailable("gone")
        publishing = asyncio.ensure_future(desk.exit(publisher, "e-1"))
        desk.streams.available = False
        await asyncio.sleep(2)
        assert publisher.trouble is None
        await asyncio.sleep(5)
        assert "Redis" in (publisher.trouble or "")
        desk.outbound.down = None
        desk.streams.available = True
        await asyncio.sleep(5)
        await publishing
        assert publisher.trouble is None


# Another Redis (D10)


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


# Exits that nobody acknowledges (3.2)


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
