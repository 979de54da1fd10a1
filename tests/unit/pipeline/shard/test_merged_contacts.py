"""Merged contacts (E21) in the pipeline in memory: nothing lost, nothing doubled."""

import asyncio
import json
from collections.abc import Sequence

import pytest
from tests.support.pipeline.changes import change, goal_id
from tests.support.pipeline.in_memory_pipeline import READ, STREAM, InMemoryPipeline

from goald.adapters.memory.merging.merges import end_forwards
from goald.client import event
from goald.domain.fail_points import FailPoint
from goald.domain.leases import SlotLease
from goald.domain.records.erasure import Tombstone
from goald.domain.slots import SlotRange, slot_of
from goald.ports.change import ContactMerge
from goald.ports.shard_store import Transfer


def receipt(entry_id: bytes) -> int:
    """When Redis received an entry, in microseconds."""
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(milliseconds) * 1_000 + int(sequence)


async def merge(pipeline: InMemoryPipeline, contact: str = "ann", into: str = "bea") -> None:
    await pipeline.send("contact.merged", contact, into_contact_id=into)


async def test_the_runs_of_a_merged_contact_exit_for_events_of_the_other() -> None:
    pipeline = InMemoryPipeline()
    pipeline.configure()
    async with pipeline.running():
        await pipeline.enroll("e-1", "ann")
        await merge(pipeline)
        await pipeline.tag(contact="bea")
        await pipeline.until(lambda: pipeline.exits == ["e-1"])
    (exit_,) = pipeline.published("goald:exits")
    assert exit_["data"]["contact_id"] == "bea"
    assert pipeline.streams.unacknowledged(STREAM) == 0
    assert pipeline.dead_letters == []


async def test_an_event_of_the_other_contact_before_the_merge_does_not_count() -> None:
    """Its shard evaluates the event when it has the runs: it ended, and took them at the start."""
    pipeline = InMemoryPipeline()
    pipeline.configure()
    async with pipeline.running():
        await pipeline.enroll("e-1", "ann")
        await pipeline.enroll("e-2", "bea")
        await pipeline.all_acknowledged()
    await pipeline.tag(contact="bea")
    await merge(pipeline)
    received_at = receipt(pipeline.streams.entries(STREAM)[-1][0])
    slots = SlotRange(0, 255)
    lease = await pipeline.store.acquire(slots, "the shard of ann")
    merged = ContactMerge(
        "acme", "ann", slot_of("acme", "ann"), "bea", goal_id("merge"), received_at, received_at
    )
    await pipeline.store.commit(lease, change(merges=[merged]))
    async with pipeline.running():
        await pipeline.all_acknowledged()
        assert pipeline.exits == ["e-2"]
        await pipeline.tag(contact="bea")
        await pipeline.until(lambda: pipeline.exits == ["e-2", "e-1"])


@pytest.mark.parametrize("is_ended", [False, True], ids=["active", "ended"])
async def test_events_that_are_processed_before_a_run_has_moved_count_for_it(
    is_ended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for a run that has ended (E18)."""
    pipeline = InMemoryPipeline(late=3_600)
    pipeline.configure()
    begins, released, transfers = asyncio.Event(), asyncio.Event(), pipeline.store.transfers

    async def wait_and_read(lease: SlotLease) -> Sequence[Transfer]:
        begins.set()
        await released.wait()
        return await transfers(lease)

    async with pipeline.running():
        await pipeline.enroll("e-1", "ann")
        if is_ended:
            ended = {"workflow_id": "w", "enrollment_id": "e-1", "reason": "exited"}
            await pipeline.send("workflow.enrollment.ended", "ann", **ended)
        await pipeline.all_acknowledged()
        monkeypatch.setattr(pipeline.store, "transfers", wait_and_read)
        await merge(pipeline)
        await begins.wait()
        await pipeline.tag(contact="bea")
        await pipeline.enroll("e-2", "cleo")
        await pipeline.tag(contact="cleo")
        await pipeline.until(lambda: pipeline.exits == ["e-2"])  # the shard has processed them
        released.set()
        await pipeline.all_acknowledged()
    assert pipeline.exits == (["e-2"] if is_ended else ["e-2", "e-1"])
    row = pipeline.database.enrollments["acme", "e-1"]
    assert (row.met_after_end_at is not None) == is_ended


async def test_an_event_that_is_delivered_again_overtakes_no_start() -> None:
    """The shard has not processed the last events of the other contact when the runs move."""
    pipeline = InMemoryPipeline(read=READ.model_copy(update={"entries": 1, "in_flight_bytes": 1}))
    pipeline.configure()
    async with pipeline.running():
        await pipeline.enroll("e-1", "ann")
        await merge(pipeline)
        await pipeline.enroll("e-2", "bea")
        await pipeline.tag(contact="bea")
        await pipeline.until(lambda: sorted(pipeline.exits) == ["e-1", "e-2"])


async def test_events_of_a_merged_contact_count_for_the_other() -> None:
    pipeline = InMemoryPipeline()
    pipeline.configure()
    async with pipeline.running():
        await pipeline.enroll("e-1", "bea")
        await merge(pipeline)
        await pipeline.tag(contact="ann")
        await pipeline.until(lambda: pipeline.exits == ["e-1"])
    assert pipeline.streams.unacknowledged(STREAM) == 0


async def test_runs_follow_a_chain_of_merges() -> None:
    pipeline = InMemoryPipeline()
    pipeline.configure()
    async with pipeline.running():
        await pipeline.enroll("e-1", "ann")
        await merge(pipeline, "ann", "bea")
        await merge(pipeline, "bea", "cleo")
        await pipeline.enroll("e-2", "ann")
        await pipeline.tag(contact="cleo")
        await pipeline.until(lambda: sorted(pipeline.exits) == ["e-1", "e-2"])
    assert {each["data"]["contact_id"] for each in pipeline.published("goald:exits")} == {"cleo"}


async def test_a_merge_that_would_make_a_cycle_is_a_dead_letter() -> None:
    pipeline = InMemoryPipeline()
    pipeline.configure()
    async with pipeline.running():
        await pipeline.enroll("e-1", "ann")
        await merge(pipeline, "ann", "bea")
        await merge(pipeline, "bea", "ann")
        await merge(pipeline, "cleo", "cleo")
        await pipeline.tag(contact="ann")
        await pipeline.until(lambda: pipeline.exits == ["e-1"])
    assert [each[b"reason"].decode() for each in pipeline.dead_letters] == [
        "the contact to merge into was itself merged into this contact",
        "a contact cannot be merged into itself",
    ]


async def test_an_engine_may_end_a_run_under_the_id_of_the_merged_contact() -> None:
    pipeline = InMemoryPipeline()
    pipeline.configure()
    async with pipeline.running():
        await pipeline.enroll("e-1", "ann")
        await merge(pipeline)
        await pipeline.send(
            "workflow.enrollment.ended",
            "ann",
            workflow_id="w",
            enrollment_id="e-1",
            reason="completed",
        )
        await pipeline.tag(contact="bea")
        await pipeline.until(lambda: pipeline.streams.unacknowledged(STREAM) == 0)
    (row,) = pipeline.database.enrollments.values()
    assert (row.status, row.contact_id) == ("completed", "bea")
    assert pipeline.exits == []
    assert pipeline.dead_letters == []


async def test_an_end_that_names_the_other_contact_ends_the_run_before_it_has_moved() -> None:
    pipeline = InMemoryPipeline()
    pipeline.configure()
    ended = {"workflow_id": "w", "enrollment_id": "e-1", "reason": "completed"}
    async with pipeline.running():
        await pipeline.enroll("e-1", "ann")
        await merge(pipeline)
        await pipeline.send("workflow.enrollment.ended", "bea", **ended)
        await pipeline.all_acknowledged()
    assert pipeline.status("e-1") == "completed"
    assert pipeline.dead_letters == []


async def test_refunds_and_acknowledgements_of_the_other_contact_are_about_runs_that_move() -> None:
    """The shard may process these events before it has the runs."""
    pipeline = InMemoryPipeline()
    pipeline.configure(goal_type="purchase_made", criteria={"any_purchase": True})
    exited = {"workflow_id": "w", "enrollment_id": "e-1", "cancelled_actions": 2}
    async with pipeline.running():
        await pipeline.enroll("e-1", "ann")
        await pipeline.send("payment.completed", "ann", payment_id="p-1", amount=9)
        await merge(pipeline)
        await pipeline.send("payment.refunded", "bea", payment_id="p-1")
        await pipeline.send("workflow.exit.acknowledged", "bea", **exited)
        await pipeline.all_acknowledged()
    (run,) = pipeline.database.enrollments.values()
    assert (run.refunded_at is not None, run.cancelled_actions) == (True, 2)


async def test_the_largest_events_count_for_a_contact_with_a_longer_id() -> None:
    pipeline = InMemoryPipeline()
    pipeline.configure()
    longer = "b" * 256
    ids = {"workflow_id": "w", "enrollment_id": "e-1"}
    async with pipeline.running():
        await merge(pipeline, "ann", longer)
        for kind, data in (
            ("workflow.enrollment.started", ids),
            ("contact.tag.added", {"tag_name": "Customer"}),
        ):
            sent = event(kind, "acme", "ann", data | {"note": ""})
            sent["data"]["note"] = "x" * (256 * 1024 - len(json.dumps(sent)))
            await pipeline.streams.add(STREAM, [b"event", json.dumps(sent).encode()])
        await pipeline.until(lambda: pipeline.exits == ["e-1"])
        await pipeline.all_acknowledged()
    assert pipeline.dead_letters == []


async def test_deleting_the_contact_that_continues_cancels_the_runs_that_moved() -> None:
    pipeline = InMemoryPipeline()
    pipeline.configure()
    async with pipeline.running():
        await pipeline.enroll("e-1", "ann")
        await merge(pipeline)
        await pipeline.all_acknowledged()
        await pipeline.send("contact.deleted", "bea")
        await pipeline.tag(contact="bea")
        await pipeline.all_acknowledged()
        await pipeline.enroll("e-2", "ann")  # of a new life
        await pipeline.tag(contact="ann")
        await pipeline.until(lambda: pipeline.exits == ["e-2"])
    assert pipeline.status("e-1") == "cancelled"
    (exit_,) = pipeline.published("goald:exits")
    assert exit_["data"]["contact_id"] == "ann"


async def test_an_earlier_deletion_leaves_the_runs_that_moved_after_it() -> None:
    """It is read again, or only after the merge."""
    pipeline = InMemoryPipeline()
    pipeline.configure()
    many = [f"e-{n}" for n in range(70)]  # a high-fanout contact
    async with pipeline.running():
        for enrollment in many:
            await pipeline.enroll(enrollment, "ann")
        await pipeline.enroll("e", "dora")
        deletions = [event("contact.deleted", "acme", each, {}) for each in ("bea", "cleo")]
        await asyncio.sleep(0.01)  # ids of entries are times in milliseconds
        await merge(pipeline, "ann", "bea")
        await merge(pipeline, "dora", "cleo")
        await pipeline.all_acknowledged()
        for deletion in [*deletions, *deletions]:
            body = json.dumps(deletion).encode()
            await pipeline.streams.add(STREAM, [b"event", body])
        await pipeline.tag(contact="bea")
        await pipeline.tag(contact="cleo")
        await pipeline.until(lambda: len(pipeline.exits) == len(many) + 1)
    assert {row.status for row in pipeline.database.enrollments.values()} == {"completed_goal"}


async def test_what_the_run_of_a_merged_contact_missed_exits_it_at_the_activation() -> None:
    pipeline = InMemoryPipeline()
    pipeline.configure(active=False)
    async with pipeline.running():
        await pipeline.enroll("e-1", "ann")
        await pipeline.tag(contact="ann")
        await merge(pipeline)
        await pipeline.all_acknowledged()
        await pipeline.reconfigure(version=2, exits_missed=True)
        await pipeline.until(lambda: pipeline.exits == ["e-1"])
    (exit_,) = pipeline.published("goald:exits")
    assert exit_["data"]["contact_id"] == "bea"
    assert pipeline.database.missed == {}


async def test_an_event_that_was_passed_on_before_a_deletion_goes_back() -> None:
    """The deletion of the other contact is committed while the event is on its way. It is of the
    new life of the merged contact."""
    pipeline = InMemoryPipeline()
    pipeline.configure()

    async with pipeline.running():
        await merge(pipeline)
        await pipeline.all_acknowledged()
    at = pipeline.clock.now_us()
    await asyncio.sleep(0.01)

    def delete_bea(point: FailPoint) -> None:
        if point is FailPoint.FORWARDED and ("acme", "bea") not in pipeline.database.deleted:
            pipeline.database.deleted["acme", "bea"] = Tombstone(at, "erased:bea")
            end_forwards(pipeline.database, "acme", "bea", at)

    pipeline.fail_point = delete_bea
    async with pipeline.running():
        await pipeline.enroll("e-1", "ann")
        await pipeline.tag(contact="ann")
        await pipeline.until(lambda: pipeline.exits == ["e-1"])
        await pipeline.all_acknowledged()
    assert pipeline.database.enrollments["acme", "e-1"].contact_id == "ann"
    (exit_,) = pipeline.published("goald:exits")
    assert exit_["data"]["contact_id"] == "ann"
    assert pipeline.dead_letters == []


async def test_tenants_with_merged_contacts_of_one_id_are_passed_on_apart() -> None:
    """The contacts that continue are of one slot, and the events follow each other."""
    pipeline = InMemoryPipeline()
    slot = slot_of("acme", "bea")
    others = (f"bea-{number}" for number in range(10_000))
    of_slot = (other for other in others if slot_of("globex", other) == slot)
    into = {"acme": "bea", "globex": next(of_slot)}
    for tenant in into:
        pipeline.configure(tenant=tenant)

    async def send(name: str, tenant: str, **data: str) -> None:
        body = json.dumps(event(name, tenant, "1001", data)).encode()
        await pipeline.streams.add(STREAM, [b"event", body])

    async with pipeline.running():
        for tenant, other in into.items():
            enrollment = {"workflow_id": "w", "enrollment_id": f"e-{tenant}"}
            await send("workflow.enrollment.started", tenant, **enrollment)
            await send("contact.merged", tenant, into_contact_id=other)
        await pipeline.all_acknowledged()
    for tenant in into:
        await send("contact.tag.added", tenant, tag_name="Customer")
    async with pipeline.running():
        await pipeline.until(lambda: sorted(pipeline.exits) == ["e-acme", "e-globex"])
        await pipeline.all_acknowledged()
    assert pipeline.dead_letters == []
