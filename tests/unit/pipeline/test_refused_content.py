"""An event that Postgres refuses is dead-lettered alone, and delays no other event (D4)."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge
from tests.support.pipeline.in_memory_pipeline import STREAM, InMemoryPipeline

from goald import _native
from goald.client import event
from goald.domain.errors import BreakerOpen, CommitUnknown
from goald.pipeline.poison.breaker import BREAKER_EVENTS, CircuitBreaker
from goald.pipeline.shard_batch import ShardBatch
from goald.redis_keys import EXITS
from goald.runtime.processes.shard import ShardProcess


@pytest.fixture
def pipeline() -> InMemoryPipeline:
    in_memory = InMemoryPipeline()
    in_memory.configure()
    return in_memory


@asynccontextmanager
async def shard_of(pipeline: InMemoryPipeline) -> AsyncIterator[ShardProcess]:
    """Run a shard to which the test sends batches directly."""
    shard = pipeline.shard()
    running = asyncio.ensure_future(shard.run())
    await pipeline.until(lambda: shard.ready)
    try:
        yield shard
        shard.stop()
        await running
    finally:
        running.cancel()
        await asyncio.wait({running})


def started(contact: str, tenant: str = "acme") -> dict[str, Any]:
    data = {"workflow_id": "w", "enrollment_id": f"e-{contact}"}
    return event("workflow.enrollment.started", tenant, contact, data)


def tagged(contact: str, tag: str = "Customer") -> dict[str, Any]:
    return event("contact.tag.added", "acme", contact, {"tag_name": tag})


def batch(events: Sequence[dict[str, Any]], sequence: int = 0) -> ShardBatch:
    """Return events in one batch; each entry id contains the event's position."""
    entries = [
        [f"{sequence + 1}-{place}".encode(), [b"event", json.dumps(each).encode()]]
        for place, each in enumerate(events)
    ]
    ((_, buffer, _),) = _native.Router(bytes(256), max_buffer=1 << 20).route(entries).buffers
    return ShardBatch(STREAM, 1, sequence, sequence, buffer)


async def test_only_the_refused_event_is_dead_lettered_and_the_rest_takes_effect(
    pipeline: InMemoryPipeline,
) -> None:
    pipeline.database.refused_contacts = {"c-13", "c-77"}
    contacts = [f"c-{number}" for number in range(100)]
    async with shard_of(pipeline) as shard, asyncio.timeout(10):
        await shard.process([batch([started(contact) for contact in contacts])])
        await shard.process([batch([tagged(contact) for contact in contacts], 1)])
    kept = [f"e-{contact}" for contact in contacts if contact not in {"c-13", "c-77"}]
    assert sorted(pipeline.exits) == sorted(kept)
    assert [dead_letter[b"id"] for dead_letter in pipeline.dead_letters] == [b"1-13", b"1-77"]
    assert all(
        dead_letter[b"reason"].startswith(b"Postgres refuses it: 23514")
        for dead_letter in pipeline.dead_letters
    )


@pytest.mark.parametrize("early_events", [0.0, 60.0])
async def test_order_within_a_contact_is_kept_when_its_group_is_halved(
    pipeline: InMemoryPipeline, early_events: float
) -> None:
    pipeline.early_events = early_events
    pipeline.database.refused_contacts = {"zoe"}
    ended = event(
        "workflow.enrollment.ended",
        "acme",
        "ann",
        {"workflow_id": "w", "enrollment_id": "e-ann", "reason": "completed"},
    )
    events = [started("ann"), started("zoe"), started("bob"), ended, tagged("ann"), tagged("bob")]
    async with shard_of(pipeline) as shard, asyncio.timeout(10):
        await shard.process([batch(events)])
    assert (pipeline.status("e-ann"), pipeline.status("e-bob")) == ("completed", "completed_goal")
    assert pipeline.exits == ["e-bob"]


async def test_event_refused_for_one_enrollment_still_ends_the_others_of_its_contact(
    pipeline: InMemoryPipeline,
) -> None:
    async with shard_of(pipeline) as shard, asyncio.timeout(10):
        first, *others = (
            event(
                "workflow.enrollment.started",
                "acme",
                "ann",
                {"workflow_id": "w", "enrollment_id": f"e-{number}"},
            )
            for number in range(9)
        )
        await shard.process([batch([first, *others])])
        pipeline.store.refused_enrollments = {"e-4"}
        await shard.process([batch([tagged("ann")], 1)])
    assert sorted(pipeline.exits) == [f"e-{number}" for number in range(9) if number != 4]
    assert pipeline.status("e-4") == "active"
    assert [dead_letter[b"id"] for dead_letter in pipeline.dead_letters] == [b"2-0"]


async def test_refused_and_unknown_commits_together_lose_nothing(
    pipeline: InMemoryPipeline,
) -> None:
    pipeline.database.refused_contacts = {"c-3"}
    pipeline.store.after_commit = [CommitUnknown("reset"), CommitUnknown("reset")]
    contacts = [f"c-{number}" for number in range(8)]
    events = [build(contact) for contact in contacts for build in (started, tagged)]
    async with shard_of(pipeline) as shard, asyncio.timeout(20):
        await shard.process([batch(events)])
        kept = sorted(f"e-{contact}" for contact in contacts if contact != "c-3")
        # All effects are published when the group is done (D2).
        assert sorted(set(pipeline.exits)) == kept
        assert len({exit_["id"] for exit_ in pipeline.published(EXITS)}) == len(kept)
    assert {dead_letter[b"id"] for dead_letter in pipeline.dead_letters} == {b"1-6"}


async def test_hundred_refused_events_of_several_tenants_stop_processing_not_the_process(
    pipeline: InMemoryPipeline,
) -> None:
    contacts = [f"c-{number}" for number in range(BREAKER_EVENTS + 20)]
    pipeline.database.refused_contacts = set(contacts)
    events = [started(contact, f"tenant-{n % 3}") for n, contact in enumerate(contacts)]
    async with shard_of(pipeline) as shard, asyncio.timeout(20):
        for sequence in (0, 0, 1):
            with pytest.raises(BreakerOpen):
                await shard.process(
                    [batch(events if sequence == 0 else [started("ann")], sequence)]
                )
        assert not shard.ready
        assert "of several tenants" in str(shard.not_ready_reason)
        assert len(pipeline.dead_letters) < BREAKER_EVENTS
        assert pipeline.status("e-ann") is None
        assert pipeline.database.slot_leases


async def test_exits_committed_with_the_event_that_opens_the_breaker_are_published(
    pipeline: InMemoryPipeline,
) -> None:
    contacts = [f"c-{number}" for number in range(BREAKER_EVENTS - 1)]
    pipeline.database.refused_contacts = set(contacts)
    refused = [started(contact, f"tenant-{n % 3}") for n, contact in enumerate(contacts)]
    data = {"workflow_id": "w", "enrollment_id": "e-other"}
    another = event("workflow.enrollment.started", "acme", "ann", data)
    async with shard_of(pipeline) as shard, asyncio.timeout(20):
        await shard.process([batch([started("ann"), another])])
        pipeline.store.refused_enrollments = {"e-other"}
        with pytest.raises(BreakerOpen):
            await shard.process([batch([*refused, tagged("ann")], 1)])
        assert pipeline.status("e-ann") == "completed_goal"
        await pipeline.until(lambda: pipeline.exits == ["e-ann"])


async def test_refused_events_of_one_tenant_do_not_stop_the_shard(
    pipeline: InMemoryPipeline,
) -> None:
    contacts = [f"c-{number}" for number in range(2 * BREAKER_EVENTS)]
    pipeline.database.refused_contacts = set(contacts)
    async with shard_of(pipeline) as shard, asyncio.timeout(20):
        await shard.process([batch([started(contact) for contact in contacts])])
        await shard.process([batch([started("ann"), tagged("ann")], 1)])
        assert shard.ready
    assert pipeline.exits == ["e-ann"]
    assert len(pipeline.dead_letters) == len(contacts)


def test_breaker_counts_only_failures_in_a_row() -> None:
    breaker = CircuitBreaker(Gauge("open", "", registry=CollectorRegistry()), limit=3)
    for tenant in ("a", "b"):
        breaker.record_failure(tenant)
    breaker.record_success()
    for tenant in ("a", "a", "a", "a"):
        breaker.record_failure(tenant)
    breaker.check()
    with pytest.raises(BreakerOpen):
        breaker.record_failure("b")
    breaker.record_success()
    with pytest.raises(BreakerOpen):
        breaker.check()
