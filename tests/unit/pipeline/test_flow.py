"""The way of an event, from the stream to its acknowledgement, with faults on the way."""

import asyncio
import json

import pytest
from tests.support.pipeline.in_memory_pipeline import ALL, STREAM, House

from goald import _native
from goald.adapters.memory.database import StoredEnrollment
from goald.domain.errors import CommitUnknown, LeaseLost, ServiceUnavailable
from goald.domain.slots import slot_of
from goald.pipeline.shard_batch import ShardBatch
from goald.ports.process_registry import Heartbeat
from goald.redis_keys import EXITS


@pytest.fixture
def house() -> House:
    made = House()
    made.configure()
    return made


async def test_contact_that_reaches_the_goal_leaves_once(house: House) -> None:
    async with house.running():
        await house.enrol()
        await house.tag("Prospect")
        await house.tag("Customer")
        await house.tag("Customer")
        await house.settled()
    assert house.exits == ["e-1"]
    assert house.notices == ["workflow.goal.achieved"]
    assert house.status() == "completed_goal"


async def test_exit_carries_the_three_times_in_their_order(house: House) -> None:
    async with house.running():
        await house.enrol()
        await house.tag()
        await house.settled()
    data = house.outgoing(EXITS)[0]["data"]
    # An entry's id has milliseconds, the event's own time microseconds.
    assert data["received_at"][:22] >= data["occurred_at"][:22]
    assert data["published_at"] > data["received_at"]


async def test_commit_that_failed_is_made_again(house: House) -> None:
    house.store.before_commit = [CommitUnknown("the connection was reset")]
    async with house.running():
        await house.enrol()
        await house.tag()
        await house.settled()
    assert house.exits == ["e-1"]
    assert house.status() == "completed_goal"


async def test_commit_whose_reply_was_lost_has_its_effect_once(house: House) -> None:
    async with house.running():
        await house.enrol()
        await house.settled()
        house.store.after_commit = [CommitUnknown("the connection was reset after COMMIT")]
        commits = house.store.commits
        await house.tag()
        await house.settled()
        # Memory was loaded again before anything was judged: what was committed is seen.
        assert house.store.commits == commits + 1
        await house.until(lambda: house.exits == ["e-1"])
        await house.tag()
        await house.settled()
    assert house.exits == ["e-1"]
    assert len(house.database.achievements) == 1


async def test_reload_is_tried_until_postgres_is_back(house: House) -> None:
    house.store.before_commit = [CommitUnknown("gone")]
    house.store.before_reload = [ServiceUnavailable("still gone")] * 2
    async with house.running():
        await house.enrol()
        await house.tag()
        await house.settled()
    assert house.exits == ["e-1"]


async def test_nothing_is_acknowledged_before_it_is_published(house: House) -> None:
    async with house.running():
        await house.enrol()
        await house.settled()
        house.outbound.down = ServiceUnavailable("Redis is full")
        await house.tag()
        await house.until(lambda: house.status() == "completed_goal")
        assert house.unacknowledged == 1
        house.outbound.down = None
        await house.settled()
    assert house.exits == ["e-1"]


async def test_what_a_shard_committed_and_never_published_its_successor_publishes(
    house: House,
) -> None:
    house.outbound.down = ServiceUnavailable("Redis is gone")
    shard = house.shard()
    consumer = house.consumer(shard)
    tasks = {asyncio.ensure_future(shard.run()), asyncio.ensure_future(consumer.run())}
    await house.enrol()
    await house.tag()
    await house.until(lambda: house.status() == "completed_goal")
    for task in tasks:  # as a kill does: nothing is finished
        task.cancel()
    await asyncio.wait(tasks)
    assert house.exits == []
    house.outbound.down = None
    async with house.running():
        await house.settled()
    assert set(house.exits) == {"e-1"}
    assert len({exit_["id"] for exit_ in house.outgoing(EXITS)}) == 1


async def test_shard_that_lost_its_slots_commits_and_acknowledges_nothing(house: House) -> None:
    shard = house.shard()
    consumer = house.consumer(shard)
    running = asyncio.ensure_future(shard.run())
    reading = asyncio.ensure_future(consumer.run())
    await house.until(lambda: shard.ready and consumer.ready)
    await house.store.acquire(ALL, "another")
    await house.enrol()
    with pytest.raises(ExceptionGroup) as lost:
        async with asyncio.timeout(10):
            await running
    reading.cancel()
    await asyncio.wait({reading})
    assert lost.group_contains(LeaseLost)
    assert house.status() is None
    assert house.unacknowledged == 1


async def test_shard_that_lost_its_slots_does_not_vouch_for_events_that_changed_nothing(
    house: House,
) -> None:
    shard = house.shard()
    consumer = house.consumer(shard)
    running = asyncio.ensure_future(shard.run())
    reading = asyncio.ensure_future(consumer.run())
    await house.until(lambda: shard.ready and consumer.ready)
    await house.store.acquire(ALL, "another")
    await house.tag("Prospect")
    with pytest.raises(ExceptionGroup) as lost:
        async with asyncio.timeout(10):
            await running
    reading.cancel()
    await asyncio.wait({reading})
    assert lost.group_contains(LeaseLost)
    assert house.unacknowledged == 1


async def test_bad_event_goes_to_the_dead_letters_and_its_batch_goes_on(house: House) -> None:
    await house.enrol()
    await house.streams.add("goald:events:0", [b"event", b"\xc1"])
    await house.send("payment.completed", amount="NaN")
    await house.tag()
    async with house.running():
        await house.settled()
    assert house.exits == ["e-1"]
    assert len(house.dead) == 2
    assert all(letter[b"stream"] == b"goald:events:0" for letter in house.dead)
    assert any(b"amount" in letter[b"reason"] for letter in house.dead)


async def test_enrollment_id_of_another_contact_goes_to_the_dead_letters(house: House) -> None:
    async with house.running():
        await house.enrol("e-1", contact="ann")
        await house.settled()
        await house.enrol("e-1", contact="bob")
        await house.settled()
        await house.tag(contact="bob")
        await house.tag(contact="ann")
        await house.settled()
    assert house.exits == ["e-1"]
    assert [letter[b"reason"] for letter in house.dead] == [
        b"the enrollment id belongs to another contact or workflow"
    ]


@pytest.mark.parametrize("order", [("bob", "ann"), ("ann", "bob"), ("bob", "zoe", "ann", "bob")])
async def test_repeat_beside_a_wrong_claim_to_its_ended_enrollment_is_no_dead_letter(
    house: House, order: tuple[str, ...]
) -> None:
    async with house.running():
        await house.enrol("e-1", contact="ann")
        await house.tag(contact="ann")
        await house.settled()
    for contact in order:
        await house.enrol("e-1", contact=contact)
    async with house.running():
        await house.settled()
    named = [json.loads(letter[b"event"])["data"]["contact_id"] for letter in house.dead]
    assert sorted(named) == sorted(contact for contact in order if contact != "ann")
    assert house.exits == ["e-1"]


async def test_changed_configuration_counts_from_its_version_on(house: House) -> None:
    house.database.workflows.clear()
    house.configure(active=False)
    async with house.running():
        await house.enrol()
        await house.tag()
        await house.settled()
        assert house.exits == []
        house.database.workflows.clear()
        await house.reconfigure(version=2, active=True)
        await house.until(lambda: 2 in house.database.config_versions.values())
        await house.tag()
        await house.settled()
    assert house.exits == ["e-1"]


async def test_changing_one_workflow_leaves_the_others_listening(house: House) -> None:
    async with house.running():
        await house.enrol()
        await house.settled()
        await house.reconfigure("another", version=2)
        await house.until(lambda: 2 in house.database.config_versions.values())
        await house.tag()
        await house.settled()
    assert house.exits == ["e-1"]


async def test_changed_configuration_that_nobody_told_of_is_found(house: House) -> None:
    shard = house.shard(reconcile=0.05)
    running = asyncio.ensure_future(shard.run())
    await house.until(lambda: shard.ready)
    house.configure(version=2)
    await house.until(lambda: 2 in house.database.config_versions.values())
    shard.stop()
    await running


async def test_configuration_is_followed_while_the_streams_are_away(house: House) -> None:
    shard = house.shard()
    running = asyncio.ensure_future(shard.run())
    await house.until(lambda: shard.ready)
    house.streams.available = False
    await house.streams.wake()
    house.configure(version=2)
    await house.until(lambda: 2 in house.database.config_versions.values())
    house.streams.available = True
    await house.reconfigure(version=3)
    await house.until(lambda: 3 in house.database.config_versions.values())
    shard.stop()
    await running


async def test_events_are_judged_again_where_memory_differed_from_the_table(house: House) -> None:
    shard = house.shard()
    running = asyncio.ensure_future(shard.run())
    await house.until(lambda: shard.ready)
    house.database.enrollments["acme", "e-1"] = StoredEnrollment(
        "acme", "e-1", "ann", "w", slot_of("acme", "ann"), "active", 0, None, [], None
    )
    await house.enrol()
    await house.tag()
    routed = _native.Router(bytes(256)).route(house.streams.entries(STREAM))
    async with asyncio.timeout(10):
        await shard.process(
            [ShardBatch(STREAM, 1, 0, 0, buffer) for _, buffer, _ in routed.buffers]
        )
    shard.stop()
    await running
    assert house.exits == ["e-1"]
    assert house.status() == "completed_goal"


async def test_stop_leaves_nothing_half_done(house: House) -> None:
    await house.enrol()
    for _ in range(300):
        await house.tag("Prospect")
    async with house.running():
        await house.until(lambda: house.status() == "active")
    stream = house.streams.stream("goald:events:0")
    done = sum(key <= stream.acknowledged for key in stream.entries)
    async with house.running():
        await house.settled()
    assert done > 0
    assert house.exits == []


async def test_ready_processes_are_heard_of_and_ended_ones_are_not(house: House) -> None:
    async with house.running():
        await house.until(
            lambda: (
                {name: beat.ready for name, beat in house.board.beats.items()}
                == {"shard:0": True, "consumer:0": True}
            )
        )
    assert house.board.beats == {}


async def test_achievements_are_counted_once_however_often_their_events_come(
    house: House,
) -> None:
    shard = house.shard()
    running = asyncio.ensure_future(shard.run())
    await house.until(lambda: shard.ready)
    await house.enrol()
    await house.tag()
    routed = _native.Router(bytes(256)).route(house.streams.entries(STREAM))
    ((_, both, _),) = routed.buffers
    async with asyncio.timeout(10):
        await shard.process([ShardBatch(STREAM, 1, 0, 0, both)])
        await shard.process([ShardBatch(STREAM, 1, 1, 1, both)])
    beats = house.board.beats
    await house.until(lambda: "shard:0" in beats and evaluated(beats["shard:0"]) == 4)
    shard.stop()
    assert counted(beats["shard:0"], "goald_achievements_total") == 1
    await running


def evaluated(beat: Heartbeat) -> float:
    return counted(beat, "goald_events_evaluated_total")


def counted(beat: Heartbeat, name: str) -> float:
    samples = (sample for family in beat.metrics for sample in family["samples"])
    return sum(float(value) for sample, _, value in samples if sample == name)
