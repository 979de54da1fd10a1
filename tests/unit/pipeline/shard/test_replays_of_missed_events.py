"""A tenant waits while it exits what its workflows missed; others do not (E19, D8)."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.support.pipeline.in_memory_pipeline import STREAM, InMemoryPipeline

from goald.adapters.memory.database import StoredTransfer
from goald.client import event
from goald.pipeline.poison.breaker import BREAKER_EVENTS
from goald.pipeline.shard.missed import pages as missed_pages
from goald.ports.shard_store import MissedPage

EVENT_BYTES = 256 * 1024


class Pages:
    """The pages of missed events that a shard reads, with one enrollment each. Each waits until its
    release."""

    def __init__(self, pipeline: InMemoryPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read = 0
        self._allowed = asyncio.Semaphore(0)
        self._read_page = pipeline.store.missed
        monkeypatch.setattr(pipeline.store, "missed", self._wait)
        monkeypatch.setattr(missed_pages, "PAGE", 1)

    async def _wait(self, *arguments: Any) -> MissedPage:
        self.read += 1
        await self._allowed.acquire()
        return await self._read_page(*arguments)

    def release(self) -> None:
        self._allowed.release()

    def release_all(self) -> None:
        for _ in range(9):
            self.release()


@pytest.fixture
def pipeline() -> InMemoryPipeline:
    in_memory = InMemoryPipeline()
    in_memory.configure(active=False)
    in_memory.configure(tenant="globex")
    return in_memory


@pytest.fixture
def pages(pipeline: InMemoryPipeline, monkeypatch: pytest.MonkeyPatch) -> Pages:
    return Pages(pipeline, monkeypatch)


async def send(
    pipeline: InMemoryPipeline, tenant: str, contact: str, name: str, **data: Any
) -> None:
    body = json.dumps(event(name, tenant, contact, data)).encode()
    await pipeline.streams.add(STREAM, [b"event", body])


async def other_exits(pipeline: InMemoryPipeline, enrollment: str) -> None:
    """Exit an enrollment of tenant globex. Events that were sent before have their turns first."""
    ids = {"workflow_id": "w", "enrollment_id": enrollment}
    await send(pipeline, "globex", "gus", "workflow.enrollment.started", **ids)
    await send(pipeline, "globex", "gus", "contact.tag.added", tag_name="Customer")
    await pipeline.until(lambda: enrollment in pipeline.exits)


@asynccontextmanager
async def missed_two(pipeline: InMemoryPipeline) -> AsyncIterator[None]:
    """A running instance, after e-1 and e-2 of the paused workflow missed an event each."""
    async with pipeline.running():
        for enrollment in ("e-1", "e-2"):
            await pipeline.enroll(enrollment)
            await pipeline.tag()
        await pipeline.all_acknowledged()
        assert len(pipeline.database.missed) == 2
        yield


@asynccontextmanager
async def replaying(pipeline: InMemoryPipeline, pages: Pages) -> AsyncIterator[None]:
    """As `missed_two`, after the activation, when e-1 has exited and e-2 has not."""
    async with missed_two(pipeline):
        await pipeline.reconfigure(version=2, exits_missed=True)
        pages.release()
        await pipeline.until(lambda: pipeline.exits == ["e-1"] and pages.read == 2)
        yield


def achieved_at(pipeline: InMemoryPipeline, enrollment: str) -> int:
    (at,) = [
        row.achieved_at for row in pipeline.database.achievements if row.enrollment.id == enrollment
    ]
    return at


async def test_later_event_is_not_judged_between_two_pages(
    pipeline: InMemoryPipeline, pages: Pages
) -> None:
    async with replaying(pipeline, pages):
        await pipeline.tag()
        later = json.loads(pipeline.streams.entries(STREAM)[-1][1][1])["time"]
        await other_exits(pipeline, "g-1")
        assert pipeline.status("e-2") == "active"
        await pipeline.until(lambda: pipeline.measured("goald_missed_workflows") == 1)
        pages.release_all()
        await pipeline.all_acknowledged()
        await pipeline.until(lambda: pipeline.measured("goald_missed_workflows") == 0)
    assert pipeline.exits == ["e-1", "g-1", "e-2"]
    second = [e for e in pipeline.published("goald:exits") if e["data"]["enrollment_id"] == "e-2"]
    assert second[0]["data"]["achieved_at"] < later


async def test_shard_that_starts_lets_the_tenant_wait(
    pipeline: InMemoryPipeline, pages: Pages
) -> None:
    async with missed_two(pipeline):
        pass
    pipeline.configure(version=2, exits_missed=True)
    await pipeline.enroll("e-3")
    await pipeline.tag()
    async with pipeline.running():
        await other_exits(pipeline, "g-1")
        assert pipeline.exits == ["g-1"]
        assert pipeline.status("e-3") is None
        pages.release_all()
        await pipeline.all_acknowledged()
    assert pipeline.exits == ["g-1", "e-1", "e-2", "e-3"]


async def test_crash_between_two_pages_repeats_nothing(
    pipeline: InMemoryPipeline, pages: Pages
) -> None:
    with pytest.raises(RuntimeError, match="crash"):
        async with replaying(pipeline, pages):
            raise RuntimeError("crash")
    pages.release_all()
    async with pipeline.running():
        await pipeline.until(lambda: not pipeline.database.missed)
        await pipeline.tag()
        await pipeline.all_acknowledged()
    assert set(pipeline.exits) == {"e-1", "e-2"}  # an exit may be published again
    assert len(pipeline.database.achievements) == 2


async def test_deactivation_ends_the_exits_and_what_is_left_stays_missed(
    pipeline: InMemoryPipeline, pages: Pages
) -> None:
    async with replaying(pipeline, pages):
        await pipeline.tag()
        await pipeline.reconfigure(version=3, active=False)
        await pipeline.all_acknowledged()
        pages.release_all()
        await other_exits(pipeline, "g-1")
        assert pipeline.status("e-2") == "active"
        assert list(pipeline.database.missed) == [("acme", "e-2")]
        await pipeline.reconfigure(version=4, exits_missed=True)
        pages.release_all()
        await pipeline.until(lambda: not pipeline.database.missed)
    assert pipeline.exits == ["e-1", "g-1", "e-2"]


async def test_deletion_of_the_workflow_ends_the_exits(
    pipeline: InMemoryPipeline, pages: Pages
) -> None:
    async with replaying(pipeline, pages):
        await pipeline.tag()
        pipeline.database.workflows = [
            row for row in pipeline.database.workflows if row[1]["tenant_id"] != "acme"
        ]
        pipeline.database.deleted_workflows.append((3, ("acme", "w")))
        await pipeline.streams.add("goald:control", [b"event", b"{}"])
        await pipeline.all_acknowledged()
        pages.release_all()
        await other_exits(pipeline, "g-1")
    assert pipeline.exits == ["e-1", "g-1"]


async def test_another_change_of_the_workflow_ends_no_exits(
    pipeline: InMemoryPipeline, pages: Pages
) -> None:
    async with replaying(pipeline, pages):
        await pipeline.reconfigure(version=3, exits_missed=True)
        await pipeline.until(lambda: 3 in pipeline.database.config_versions.values())
        await pipeline.tag()
        await other_exits(pipeline, "g-1")
        assert pipeline.status("e-2") == "active"
        pages.release_all()
        await pipeline.all_acknowledged()
    assert pipeline.exits == ["e-1", "g-1", "e-2"]


async def test_deletion_of_the_contact_waits_for_its_exits(
    pipeline: InMemoryPipeline, pages: Pages
) -> None:
    async with replaying(pipeline, pages):
        await pipeline.send("contact.deleted")
        await other_exits(pipeline, "g-1")
        pages.release_all()
        await pipeline.all_acknowledged()
    assert pipeline.exits == ["e-1", "g-1", "e-2"]
    assert pipeline.database.missed == {}


async def test_runs_that_move_after_the_activation_exit_once(
    pipeline: InMemoryPipeline, pages: Pages
) -> None:
    """The shard of the merged contact could not exit them, because they were to move (E21)."""
    pages.release_all()
    tables = pipeline.database
    async with pipeline.running():
        await pipeline.enroll()
        await pipeline.tag()
        await pipeline.all_acknowledged()
        now = pipeline.clock.now_us()
        number = tables.next_number()
        transfer = StoredTransfer("acme", "ann", "bea", now, (now,), None, number, 0.0)
        tables.transfers["other shard"] = transfer
        await pipeline.reconfigure(version=2, exits_missed=True)
        await pipeline.until(lambda: 2 in tables.config_versions.values())
        await other_exits(pipeline, "g-1")
        assert len(tables.missed) == 1
        await pipeline.send("contact.merged", "dora", into_contact_id="eve")  # lets it adopt
        await pipeline.until(lambda: "e-1" in pipeline.exits)
        reads = pages.read
        await pipeline.send("contact.merged", "bea", into_contact_id="cleo")
        await pipeline.all_acknowledged()
    assert pipeline.exits == ["g-1", "e-1"]
    assert len(tables.achievements) == 2
    assert pages.read == reads


async def test_merge_reads_no_missed_events_if_none_have_moved(
    pipeline: InMemoryPipeline, pages: Pages
) -> None:
    pipeline.configure(version=2, exits_missed=True)
    async with pipeline.running():
        await pipeline.enroll()
        await pipeline.send("contact.merged", into_contact_id="bea")
        await pipeline.all_acknowledged()
    assert pipeline.database.enrollments["acme", "e-1"].contact_id == "bea"
    assert pages.read == 0


async def test_many_refused_events_of_several_tenants_stop_the_exits(
    pipeline: InMemoryPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They indicate a fault in goald: nothing may be lost (D4)."""
    monkeypatch.setattr(missed_pages, "PAGE", 4)
    tables, count = pipeline.database, BREAKER_EVENTS // 2 + 5
    for tenant in ("acme", "globex"):
        pipeline.configure(tenant=tenant, active=False)
        for number in range(count):
            contact = f"{tenant}-{number}"
            start = {"workflow_id": "w", "enrollment_id": contact}
            await send(pipeline, tenant, contact, "workflow.enrollment.started", **start)
            await send(pipeline, tenant, contact, "contact.tag.added", tag_name="Customer")
    async with pipeline.running():
        await pipeline.all_acknowledged()
    assert len(tables.missed) == 2 * count
    tables.refused_contacts.update(row.contact_id for row in tables.enrollments.values())
    for tenant in ("acme", "globex"):
        pipeline.configure(tenant=tenant, version=2, exits_missed=True)
    shard = pipeline.shard()
    running = asyncio.ensure_future(shard.run())
    await pipeline.until(lambda: "goald:dead" in (shard.not_ready_reason or ""))
    assert len(pipeline.dead_letters) == BREAKER_EVENTS - 1
    assert len(tables.missed) == 2 * count - (BREAKER_EVENTS - 1)
    shard.stop()
    await running


async def test_largest_event_exits_its_run_under_the_longest_id(
    pipeline: InMemoryPipeline,
) -> None:
    """Under another contact id, the event is larger than a stream entry may be (E21)."""
    survivor = "カ" * 256
    data = {"tag_name": "Customer", "note": ""}
    size = len(json.dumps(event("contact.tag.added", "acme", "ann", data)))
    async with pipeline.running():
        await pipeline.enroll()
        await pipeline.send(
            "contact.tag.added", tag_name="Customer", note="x" * (EVENT_BYTES - size - 99)
        )
        await pipeline.send("contact.merged", into_contact_id=survivor)
        await pipeline.all_acknowledged()
        (row,) = pipeline.database.missed.values()
        assert len(row.payload) > EVENT_BYTES
        await pipeline.reconfigure(version=2, exits_missed=True)
        await pipeline.until(lambda: pipeline.exits == ["e-1"])
    assert pipeline.dead_letters == []
