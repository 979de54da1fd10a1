"""Events that arrive after the end of an enrollment meet its goals without an exit (E18)."""

import asyncio
import itertools
import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from tests.support.pipeline.in_memory_pipeline import STREAM, InMemoryPipeline

from goald.domain.errors import CommitUnknown, ContentRefused
from goald.domain.ids import ContactId, TenantId
from goald.domain.leases import SlotLease
from goald.domain.slots import slot_of
from goald.domain.times import rfc3339
from goald.pipeline.shard import commit, transfers
from goald.ports.change import Change, Committed
from goald.ports.shard_store import EndedCheck, RenameContact, RunEnd, Transfer, WatchedRuns
from goald.redis_keys import NOTICES

MINUTE = 60
_numbers = itertools.count()


@pytest.fixture(params=["one batch", "batch by batch"])
def batched(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "one batch")


@pytest.fixture
def pipeline() -> InMemoryPipeline:
    in_memory = InMemoryPipeline(late=60 * MINUTE)
    in_memory.configure()
    return in_memory


def event(kind: str, ago: int, event_id: str = "", **data: Any) -> dict[str, Any]:
    """An event of some minutes ago."""
    at = rfc3339(round((time.time() - ago * MINUTE) * 1e6))
    return {
        "id": event_id or f"event-{next(_numbers)}", "source": "shop", "type": kind, "time": at,
        "tenantid": "acme", "data": {"contact_id": "ann", **data},
    }  # fmt: skip


def start(enrollment: str, ago: int) -> dict[str, Any]:
    ids = {"workflow_id": "w", "enrollment_id": enrollment}
    return event("workflow.enrollment.started", ago, **ids)


def end(enrollment: str, ago: int) -> dict[str, Any]:
    ids = {"workflow_id": "w", "enrollment_id": enrollment, "reason": "exited"}
    return event("workflow.enrollment.ended", ago, **ids)


def tag(ago: int, event_id: str = "") -> dict[str, Any]:
    return event("contact.tag.added", ago, event_id, tag_name="Customer")


async def add(pipeline: InMemoryPipeline, *events: dict[str, Any]) -> None:
    for each in events:
        await pipeline.streams.add(STREAM, [b"event", json.dumps(each).encode()])


async def send(pipeline: InMemoryPipeline, batched: bool, *events: dict[str, Any]) -> None:
    """Process events as one batch, or each as a batch."""
    if batched:
        await add(pipeline, *events)
    async with pipeline.running():
        for each in () if batched else events:
            await add(pipeline, each)
            await pipeline.all_acknowledged()
        await pipeline.all_acknowledged()


def met(pipeline: InMemoryPipeline) -> list[str]:
    """The enrollments that met their goals after their ends."""
    rows = pipeline.database.achievements
    found = [row.enrollment.id for row in rows if row.after_end]
    ended = {row.id for row in pipeline.database.enrollments.values() if row.met_after_end_at}
    assert ended == set(found)
    return found


async def test_an_event_that_arrives_after_the_end_counts_without_an_exit(
    pipeline: InMemoryPipeline, batched: bool
) -> None:
    """Also in the batch of the end."""
    await send(pipeline, batched, start("e-1", 30), end("e-1", 10), tag(20))
    assert met(pipeline) == ["e-1"]
    assert (pipeline.status(), pipeline.exits) == ("exited", [])
    (notice,) = pipeline.published(NOTICES)
    assert (notice["type"], notice["data"]["after_end"]) == ("workflow.goal.achieved", True)


async def test_an_enrollment_that_begins_and_ends_at_one_time_is_watched(
    pipeline: InMemoryPipeline, batched: bool
) -> None:
    """A workflow may have a single message. If only the end is known, it is not watched."""
    began = start("e-1", 10)
    ended = end("e-1", 10) | {"time": began["time"]}
    await send(pipeline, batched, began, ended, end("e-2", 9), tag(5))
    assert met(pipeline) == ["e-1"]


async def test_an_event_that_is_delivered_again_counts_once(
    pipeline: InMemoryPipeline, batched: bool
) -> None:
    """Neither for its enrollment nor for an earlier one, nor if it counted before the end."""
    sent = [start("e-0", 30), end("e-0", 29), start("e-1", 28), end("e-1", 10), tag(20, "pay-1")]
    await send(pipeline, batched, *sent, tag(20, "pay-1"), tag(20, "pay-1"))
    assert met(pipeline) == ["e-1"]
    live = [start("e-2", 9), tag(8, "pay-2"), tag(8, "pay-2")]
    await send(pipeline, batched, *live)
    assert (met(pipeline), pipeline.status("e-2")) == (["e-1"], "completed_goal")
    await send(pipeline, batched, start("e-3", 9), end("e-3", 1), tag(8, "pay-2"))
    assert met(pipeline) == ["e-1"]


async def test_enrollments_are_watched_for_a_time(
    pipeline: InMemoryPipeline, batched: bool
) -> None:
    await send(pipeline, batched, start("e-1", 90), end("e-1", 70), tag(80))
    assert met(pipeline) == []


async def test_nothing_counts_after_the_end_if_it_is_turned_off(batched: bool) -> None:
    pipeline = InMemoryPipeline(late=0)
    pipeline.configure()
    await send(pipeline, batched, start("e-1", 30), end("e-1", 10), tag(20))
    assert met(pipeline) == []


async def test_a_window_is_counted_from_the_enrollment(batched: bool) -> None:
    pipeline = InMemoryPipeline(late=0)
    pipeline.configure(window=100 * MINUTE)
    await send(pipeline, batched, start("e-1", 110), end("e-1", 70), tag(80))
    await send(pipeline, batched, start("e-2", 90), end("e-2", 70), tag(80))
    assert met(pipeline) == ["e-2"]


async def test_an_event_counts_while_ended_enrollments_are_loaded(
    pipeline: InMemoryPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Active enrollments are served meanwhile."""
    await send(pipeline, True, start("e-1", 30), end("e-1", 10))
    released, read = asyncio.Event(), pipeline.store.ends

    async def wait_and_read(*arguments: Any) -> Sequence[RunEnd]:
        await released.wait()
        return await read(*arguments)

    monkeypatch.setattr(pipeline.store, "ends", wait_and_read)
    async with pipeline.running():
        await add(pipeline, tag(20), start("e-2", 9), tag(8))
        await pipeline.all_acknowledged()
        assert met(pipeline) == ["e-1"]
        assert pipeline.exits == ["e-2"]
        released.set()


def report_pages(pipeline: InMemoryPipeline, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Return an event that is set when ended enrollments are loaded."""
    loaded, read = asyncio.Event(), pipeline.store.ends

    async def read_and_report(*arguments: Any) -> Sequence[RunEnd]:
        loaded.set()
        return await read(*arguments)

    monkeypatch.setattr(pipeline.store, "ends", read_and_report)
    return loaded


async def test_events_of_other_contacts_cause_no_question_once_these_are_loaded(
    pipeline: InMemoryPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(pipeline, True, start("e-1", 30), end("e-1", 10))
    loaded = report_pages(pipeline, monkeypatch)
    asked: list[str] = []
    find = pipeline.store.ended

    async def find_and_count(lease: SlotLease, checks: Sequence[EndedCheck]) -> WatchedRuns:
        asked.extend(check.contact_id for check in checks)
        return await find(lease, checks)

    monkeypatch.setattr(pipeline.store, "ended", find_and_count)
    async with pipeline.running():
        async with asyncio.timeout(10):
            await loaded.wait()
        for _ in range(100):
            await asyncio.sleep(0)
        await add(
            pipeline, tag(20), event("contact.tag.added", 20, contact_id="bob", tag_name="Customer")
        )
        await pipeline.all_acknowledged()
    assert asked == ["ann"]
    assert met(pipeline) == ["e-1"]


async def test_an_event_counts_after_the_reply_of_the_end_was_lost(
    pipeline: InMemoryPipeline,
) -> None:
    async with pipeline.running():
        await add(pipeline, start("e-1", 30))
        await pipeline.all_acknowledged()
        pipeline.store.after_commit.append(CommitUnknown("the reply was lost"))
        await add(pipeline, end("e-1", 10))
        await pipeline.all_acknowledged()
        await add(pipeline, tag(20))
        await pipeline.all_acknowledged()
    assert met(pipeline) == ["e-1"]


async def test_a_longer_window_counts_from_its_version_on(pipeline: InMemoryPipeline) -> None:
    async with pipeline.running():
        await add(pipeline, start("e-1", 90), end("e-1", 70))
        await pipeline.all_acknowledged()
        await pipeline.reconfigure(version=2, window=100 * MINUTE)
        await pipeline.until(lambda: 2 in pipeline.database.config_versions.values())
        await add(pipeline, tag(80))
        await pipeline.all_acknowledged()
    assert met(pipeline) == ["e-1"]


async def test_a_paused_workflow_counts_nothing_after_the_end(
    pipeline: InMemoryPipeline, batched: bool
) -> None:
    """Nor does its activation, whether the event arrived before the end or after it."""
    pipeline.configure(active=False)
    await send(pipeline, batched, start("e-1", 30), tag(20), end("e-1", 10), tag(5))
    pipeline.configure(version=2, exits_missed=True)
    async with pipeline.running():
        await pipeline.until(lambda: not pipeline.database.missed)
        assert (met(pipeline), pipeline.exits) == ([], [])
        await add(pipeline, tag(4))
        await pipeline.all_acknowledged()
    assert met(pipeline) == ["e-1"]


async def test_an_enrollment_counts_that_moved_with_a_later_page_of_a_merge(
    pipeline: InMemoryPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first page was moved by a release that moves others first."""
    await send(pipeline, True, start("e-1", 30), end("e-1", 10))
    transfer = Transfer("t-1", TenantId("acme"), ContactId("ann"), ContactId("bea"), True)
    waiting = [transfer]

    async def due(lease: SlotLease) -> Sequence[Transfer]:
        return list(waiting)

    async def move_ended(lease: SlotLease, moved: Transfer, rename: RenameContact) -> bool:
        (run,) = pipeline.database.enrollments.values()
        run.contact_id, run.slot = "bea", slot_of("acme", "bea")
        waiting.clear()
        return False

    monkeypatch.setattr(pipeline.store, "move_ended", move_ended)
    monkeypatch.setattr(transfers, "CHECK_SECONDS", 0.05)
    loaded = report_pages(pipeline, monkeypatch)
    async with pipeline.running():
        await pipeline.until(loaded.is_set)
        for _ in range(100):
            await asyncio.sleep(0)
        monkeypatch.setattr(pipeline.store, "transfers", due)
        await pipeline.until(lambda: not waiting)
        await add(pipeline, event("contact.tag.added", 20, contact_id="bea", tag_name="Customer"))
        await pipeline.all_acknowledged()
    assert met(pipeline) == ["e-1"]


async def test_nothing_counts_after_the_deletion_of_the_contact(
    pipeline: InMemoryPipeline, batched: bool
) -> None:
    sent = start("e-1", 30), end("e-1", 10), event("contact.deleted", 9), tag(20)
    await send(pipeline, batched, *sent)
    assert met(pipeline) == []


@pytest.mark.parametrize("is_refused_late", [False, True])
async def test_an_event_counts_although_the_end_before_it_is_refused(
    pipeline: InMemoryPipeline, is_refused_late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the enrollment is active. Both are in one group, and in different slices."""
    monkeypatch.setattr(commit, "SLICE_EFFECTS", 1)
    write = pipeline.store.commit

    async def refuse_one(lease: SlotLease, change: Change) -> Committed:
        of = change.effects
        if any(late == is_refused_late for late in of.after_end) and "exited" in of.status:
            raise ContentRefused("Postgres refuses it: 22003")
        return await write(lease, change)

    await send(pipeline, True, start("e-1", 30))
    monkeypatch.setattr(pipeline.store, "commit", refuse_one)
    await send(pipeline, True, end("e-1", 10), tag(20))
    assert len(pipeline.dead_letters) == 1
    assert (pipeline.exits, met(pipeline)) == ([] if is_refused_late else ["e-1"], [])
