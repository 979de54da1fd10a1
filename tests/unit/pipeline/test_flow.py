"""The path of an event from the stream to its acknowledgement, with and without faults."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.pipeline.in_memory_pipeline import ALL, STREAM, InMemoryPipeline

from goald import _native
from goald.adapters.memory.database import StoredEnrollment
from goald.client import event
from goald.domain.errors import CommitUnknown, LeaseLost, ServiceUnavailable
from goald.domain.slots import slot_of
from goald.pipeline.shard_batch import ShardBatch
from goald.ports.process_registry import Heartbeat
from goald.redis_keys import EXITS


@pytest.fixture
def pipeline() -> InMemoryPipeline:
    in_memory = InMemoryPipeline()
    in_memory.configure()
    return in_memory


async def test_contact_that_reaches_the_goal_exits_once(pipeline: InMemoryPipeline) -> None:
    async with pipeline.running():
        await pipeline.enroll()
        await pipeline.tag("Prospect")
        await pipeline.tag("Customer")
        await pipeline.tag("Customer")
        await pipeline.all_acknowledged()
    assert pipeline.exits == ["e-1"]
    assert pipeline.notices == ["workflow.goal.achieved"]
    assert pipeline.status() == "completed_goal"


async def test_exit_has_its_three_times_in_order(pipeline: InMemoryPipeline) -> None:
    async with pipeline.running():
        await pipeline.enroll()
        await pipeline.tag()
        await pipeline.all_acknowledged()
    data = pipeline.published(EXITS)[0]["data"]
    # An entry's id has milliseconds, the event's own time microseconds.
    assert data["received_at"][:22] >= data["occurred_at"][:22]
    assert data["published_at"] > data["received_at"]


async def test_failed_commit_is_retried(pipeline: InMemoryPipeline) -> None:
    pipeline.store.before_commit = [CommitUnknown("the connection was reset")]
    async with pipeline.running():
        await pipeline.enroll()
        await pipeline.tag()
        await pipeline.all_acknowledged()
    assert pipeline.exits == ["e-1"]
    assert pipeline.status() == "completed_goal"


async def test_commit_whose_reply_was_lost_has_its_effect_once(pipeline: InMemoryPipeline) -> None:
    async with pipeline.running():
        await pipeline.enroll()
        await pipeline.all_acknowledged()
        pipeline.store.after_commit = [CommitUnknown("the connection was reset after COMMIT")]
        commits = pipeline.store.commits
        await pipeline.tag()
        await pipeline.all_acknowledged()
        # Memory was reloaded before the next evaluation, so the commit is seen.
        assert pipeline.store.commits == commits + 1
        await pipeline.until(lambda: pipeline.exits == ["e-1"])
        await pipeline.tag()
        await pipeline.all_acknowledged()
    assert pipeline.exits == ["e-1"]
    assert len(pipeline.database.achievements) == 1


async def test_reload_is_retried_until_postgres_is_back(pipeline: InMemoryPipeline) -> None:
    pipeline.store.before_commit = [CommitUnknown("gone")]
    pipeline.store.before_reload = [ServiceUnavailable("still gone")] * 2
    async with pipeline.running():
        await pipeline.enroll()
        await pipeline.tag()
        await pipeline.all_acknowledged()
    assert pipeline.exits == ["e-1"]


async def test_event_is_acknowledged_only_after_its_exit_is_published(
    pipeline: InMemoryPipeline,
) -> None:
    async with pipeline.running():
        await pipeline.enroll()
        await pipeline.all_acknowledged()
        pipeline.outbound.down = ServiceUnavailable("Redis is full")
        await pipeline.tag()
        # By the third attempt to publish, an early acknowledgement would have been made.
        await pipeline.until(lambda: pipeline.outbound.failures >= 3)
        assert pipeline.status() == "completed_goal"
        assert pipeline.unacknowledged == 1
        pipeline.outbound.down = None
        await pipeline.all_acknowledged()
    assert pipeline.exits == ["e-1"]


async def test_next_holder_publishes_committed_messages_that_were_never_published(
    pipeline: InMemoryPipeline,
) -> None:
    pipeline.outbound.down = ServiceUnavailable("Redis is unavailable")
    shard = pipeline.shard()
    consumer = pipeline.consumer(shard)
    tasks = {asyncio.ensure_future(shard.run()), asyncio.ensure_future(consumer.run())}
    await pipeline.enroll()
    await pipeline.tag()
    await pipeline.until(lambda: pipeline.status() == "completed_goal")
    for task in tasks:  # like a kill: nothing is finished
        task.cancel()
    await asyncio.wait(tasks)
    assert pipeline.exits == []
    pipeline.outbound.down = None
    async with pipeline.running():
        await pipeline.all_acknowledged()
    assert set(pipeline.exits) == {"e-1"}
    assert len({exit_["id"] for exit_ in pipeline.published(EXITS)}) == 1


async def test_shard_that_lost_its_slots_commits_and_acknowledges_nothing(
    pipeline: InMemoryPipeline,
) -> None:
    shard = pipeline.shard()
    consumer = pipeline.consumer(shard)
    running = asyncio.ensure_future(shard.run())
    reading = asyncio.ensure_future(consumer.run())
    await pipeline.until(lambda: shard.ready and consumer.ready)
    await pipeline.store.acquire(ALL, "another")
    await pipeline.enroll()
    with pytest.raises(ExceptionGroup) as lost:
        async with asyncio.timeout(10):
            await running
    reading.cancel()
    await asyncio.wait({reading})
    assert lost.group_contains(LeaseLost)
    assert pipeline.status() is None
    assert pipeline.unacknowledged == 1


async def test_shard_that_lost_its_slots_does_not_acknowledge_events_that_changed_nothing(
    pipeline: InMemoryPipeline,
) -> None:
    shard = pipeline.shard()
    consumer = pipeline.consumer(shard)
    running = asyncio.ensure_future(shard.run())
    reading = asyncio.ensure_future(consumer.run())
    await pipeline.until(lambda: shard.ready and consumer.ready)
    await pipeline.store.acquire(ALL, "another")
    await pipeline.tag("Prospect")
    with pytest.raises(ExceptionGroup) as lost:
        async with asyncio.timeout(10):
            await running
    reading.cancel()
    await asyncio.wait({reading})
    assert lost.group_contains(LeaseLost)
    assert pipeline.unacknowledged == 1


async def test_invalid_event_is_dead_lettered_and_its_batch_continues(
    pipeline: InMemoryPipeline,
) -> None:
    await pipeline.enroll()
    await pipeline.streams.add("goald:events:0", [b"event", b"\xc1"])
    await pipeline.send("payment.completed", amount="NaN")
    await pipeline.tag()
    async with pipeline.running():
        await pipeline.all_acknowledged()
    assert pipeline.exits == ["e-1"]
    assert len(pipeline.dead_letters) == 2
    assert all(each[b"stream"] == b"goald:events:0" for each in pipeline.dead_letters)
    assert any(b"amount" in each[b"reason"] for each in pipeline.dead_letters)


async def test_event_with_an_enrollment_id_of_another_contact_is_dead_lettered(
    pipeline: InMemoryPipeline,
) -> None:
    async with pipeline.running():
        await pipeline.enroll("e-1", contact="ann")
        await pipeline.all_acknowledged()
        await pipeline.enroll("e-1", contact="bob")
        await pipeline.all_acknowledged()
        await pipeline.tag(contact="bob")
        await pipeline.tag(contact="ann")
        await pipeline.all_acknowledged()
    assert pipeline.exits == ["e-1"]
    assert [each[b"reason"] for each in pipeline.dead_letters] == [
        b"the enrollment id belongs to another contact or workflow"
    ]


@pytest.mark.parametrize("order", [("bob", "ann"), ("ann", "bob"), ("bob", "zoe", "ann", "bob")])
async def test_repeated_start_in_a_batch_with_another_contacts_start_is_not_dead_lettered(
    pipeline: InMemoryPipeline, order: tuple[str, ...]
) -> None:
    """A start is a repeat if it has the `enrolled_at` of the run that has ended."""
    ids = {"workflow_id": "w", "enrollment_id": "e-1"}
    start = ids | {"enrolled_at": datetime.now(UTC).isoformat()}
    async with pipeline.running():
        await pipeline.send("workflow.enrollment.started", "ann", **start)
        await pipeline.tag(contact="ann")
        await pipeline.all_acknowledged()
    for contact in order:
        await pipeline.send("workflow.enrollment.started", contact, **start)
    async with pipeline.running():
        await pipeline.all_acknowledged()
    contacts = [json.loads(each[b"event"])["data"]["contact_id"] for each in pipeline.dead_letters]
    assert sorted(contacts) == sorted(contact for contact in order if contact != "ann")
    assert pipeline.exits == ["e-1"]


@pytest.mark.parametrize("order", [("bob", "ann"), ("ann", "bob"), ("bob", "zoe", "ann", "bob")])
async def test_owner_of_an_erased_enrollment_is_not_dead_lettered_with_another_contact(
    pipeline: InMemoryPipeline, order: tuple[str, ...]
) -> None:
    async with pipeline.running():
        await pipeline.enroll("e-1", contact="ann")
        await pipeline.send("contact.deleted", contact="ann")
        await pipeline.all_acknowledged()
    for contact in order:
        ids = {"workflow_id": "w", "enrollment_id": "e-1", "reason": "exited"}
        await pipeline.send("workflow.enrollment.ended", contact, **ids)
    async with pipeline.running():
        await pipeline.all_acknowledged()
    contacts = [json.loads(each[b"event"])["data"]["contact_id"] for each in pipeline.dead_letters]
    assert sorted(contacts) == sorted(contact for contact in order if contact != "ann")


async def test_event_behind_a_deletion_completes_no_enrollment_that_is_dated_ahead(
    pipeline: InMemoryPipeline,
) -> None:
    """Memory has the enrollment as active until the deletion is committed."""
    ahead = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    async with pipeline.running():
        ids = {"workflow_id": "w", "enrollment_id": "e-1", "enrolled_at": ahead}
        await pipeline.send("workflow.enrollment.started", **ids)
        await pipeline.all_acknowledged()
    await pipeline.send("contact.deleted")
    tag = event("contact.tag.added", "acme", "ann", {"tag_name": "Customer"}) | {"time": ahead}
    await pipeline.streams.add(STREAM, [b"event", json.dumps(tag).encode()])
    async with pipeline.running():
        await pipeline.all_acknowledged()
    assert (pipeline.exits, pipeline.status()) == ([], "cancelled")


async def test_configuration_applies_from_its_version_on(pipeline: InMemoryPipeline) -> None:
    pipeline.database.workflows.clear()
    pipeline.configure(active=False)
    async with pipeline.running():
        await pipeline.enroll()
        await pipeline.tag()
        await pipeline.all_acknowledged()
        assert pipeline.exits == []
        pipeline.database.workflows.clear()
        await pipeline.reconfigure(version=2, active=True)
        await pipeline.until(lambda: 2 in pipeline.database.config_versions.values())
        await pipeline.tag()
        await pipeline.all_acknowledged()
    assert pipeline.exits == ["e-1"]


async def test_changing_one_workflow_does_not_affect_others(
    pipeline: InMemoryPipeline,
) -> None:
    async with pipeline.running():
        await pipeline.enroll()
        await pipeline.all_acknowledged()
        await pipeline.reconfigure("another", version=2)
        await pipeline.until(lambda: 2 in pipeline.database.config_versions.values())
        await pipeline.tag()
        await pipeline.all_acknowledged()
    assert pipeline.exits == ["e-1"]


async def test_unannounced_configuration_change_is_found(
    pipeline: InMemoryPipeline,
) -> None:
    shard = pipeline.shard(reconcile=0.05)
    running = asyncio.ensure_future(shard.run())
    await pipeline.until(lambda: shard.ready)
    pipeline.configure(version=2)
    await pipeline.until(lambda: 2 in pipeline.database.config_versions.values())
    shard.stop()
    await running


async def test_configuration_is_applied_while_redis_is_unavailable(
    pipeline: InMemoryPipeline,
) -> None:
    shard = pipeline.shard()
    running = asyncio.ensure_future(shard.run())
    await pipeline.until(lambda: shard.ready)
    pipeline.streams.available = False
    await pipeline.streams.wake()
    pipeline.configure(version=2)
    await pipeline.until(lambda: 2 in pipeline.database.config_versions.values())
    pipeline.streams.available = True
    await pipeline.reconfigure(version=3)
    await pipeline.until(lambda: 3 in pipeline.database.config_versions.values())
    shard.stop()
    await running


async def test_events_are_evaluated_again_if_memory_differed_from_the_table(
    pipeline: InMemoryPipeline,
) -> None:
    shard = pipeline.shard()
    running = asyncio.ensure_future(shard.run())
    await pipeline.until(lambda: shard.ready)
    pipeline.database.enrollments["acme", "e-1"] = StoredEnrollment(
        "acme", "e-1", "ann", "w", slot_of("acme", "ann"), "active", 0, None, [], None
    )
    await pipeline.enroll()
    await pipeline.tag()
    routed = _native.Router(bytes(256)).route(pipeline.streams.entries(STREAM))
    async with asyncio.timeout(10):
        await shard.process(
            [ShardBatch(STREAM, 1, 0, 0, buffer) for _, buffer, _ in routed.buffers]
        )
    shard.stop()
    await running
    assert pipeline.exits == ["e-1"]
    assert pipeline.status() == "completed_goal"


async def test_stop_finishes_the_events_in_flight(pipeline: InMemoryPipeline) -> None:
    await pipeline.enroll()
    for _ in range(300):
        await pipeline.tag("Prospect")
    async with pipeline.running():
        await pipeline.until(lambda: pipeline.status() == "active")
    stream = pipeline.streams.stream("goald:events:0")
    done = sum(key <= stream.acknowledged for key in stream.entries)
    async with pipeline.running():
        await pipeline.all_acknowledged()
    assert done > 0
    assert pipeline.exits == []


async def test_only_running_processes_have_a_heartbeat(
    pipeline: InMemoryPipeline,
) -> None:
    async with pipeline.running():
        await pipeline.until(
            lambda: (
                {name: each.ready for name, each in pipeline.process_registry.heartbeats.items()}
                == {"shard:0": True, "consumer:0": True}
            )
        )
    assert pipeline.process_registry.heartbeats == {}


async def test_achievements_are_counted_once_however_often_their_events_arrive(
    pipeline: InMemoryPipeline,
) -> None:
    shard = pipeline.shard()
    running = asyncio.ensure_future(shard.run())
    await pipeline.until(lambda: shard.ready)
    await pipeline.enroll()
    await pipeline.tag()
    routed = _native.Router(bytes(256)).route(pipeline.streams.entries(STREAM))
    ((_, both, _),) = routed.buffers
    async with asyncio.timeout(10):
        await shard.process([ShardBatch(STREAM, 1, 0, 0, both)])
        await shard.process([ShardBatch(STREAM, 1, 1, 1, both)])
    heartbeats = pipeline.process_registry.heartbeats
    await pipeline.until(lambda: "shard:0" in heartbeats and evaluated(heartbeats["shard:0"]) == 4)
    shard.stop()
    assert counted(heartbeats["shard:0"], "goald_achievements_total") == 1
    await running


def evaluated(heartbeat: Heartbeat) -> float:
    return counted(heartbeat, "goald_events_evaluated_total")


def counted(heartbeat: Heartbeat, name: str) -> float:
    samples = (sample for family in heartbeat.metrics for sample in family["samples"])
    return sum(float(value) for sample, _, value in samples if sample == name)


async def test_contact_whose_id_looks_like_a_pseudonym_is_dead_lettered(
    pipeline: InMemoryPipeline,
) -> None:
    """Its exits would be removed as those of a deleted contact."""
    data = {"workflow_id": "w", "enrollment_id": "e-1"}
    await pipeline.send("workflow.enrollment.started", "erased:ann", **data)
    async with pipeline.running():
        await pipeline.all_acknowledged()
    assert [each[b"reason"] for each in pipeline.dead_letters] == [
        b"data.contact_id: must not start with erased:, which is reserved for deleted contacts"
    ]
    assert not pipeline.database.enrollments
