"""Events that Postgres refuses for their content: alone in goald:dead, and nobody waits (D4)."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge
from tests.support.pipeline.in_memory_pipeline import STREAM, House

from goald import _native
from goald.client import event
from goald.domain.errors import BreakerOpen, CommitUnknown
from goald.pipeline.poison.breaker import BREAKER_EVENTS, CircuitBreaker
from goald.pipeline.shard_batch import ShardBatch
from goald.redis_keys import EXITS
from goald.runtime.processes.shard import ShardProcess


@pytest.fixture
def house() -> House:
    made = House()
    made.configure()
    return made


@asynccontextmanager
async def shard_of(house: House) -> AsyncIterator[ShardProcess]:
    """A shard that a test hands parts to itself."""
    shard = house.shard()
    running = asyncio.ensure_future(shard.run())
    await house.until(lambda: shard.ready)
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


def part(events: Sequence[dict[str, Any]], sequence: int = 0) -> ShardBatch:
    """Events in one buffer; their entries' ids tell their places."""
    entries = [
        [f"{sequence + 1}-{place}".encode(), [b"event", json.dumps(one).encode()]]
        for place, one in enumerate(events)
    ]
    ((_, buffer, _),) = _native.Router(bytes(256), max_buffer=1 << 20).route(entries).buffers
    return ShardBatch(STREAM, 1, sequence, sequence, buffer)


async def test_refused_event_goes_to_the_dead_letters_alone_and_the_rest_takes_effect(
    house: House,
) -> None:
    house.database.refused_contacts = {"c-13", "c-77"}
    contacts = [f"c-{number}" for number in range(100)]
    async with shard_of(house) as shard, asyncio.timeout(10):
        await shard.process([part([started(contact) for contact in contacts])])
        await shard.process([part([tagged(contact) for contact in contacts], 1)])
    kept = [f"e-{contact}" for contact in contacts if contact not in {"c-13", "c-77"}]
    assert sorted(house.exits) == sorted(kept)
    assert [letter[b"id"] for letter in house.dead] == [b"1-13", b"1-77"]
    assert all(letter[b"reason"].startswith(b"Postgres refuses it: 23514") for letter in house.dead)


@pytest.mark.parametrize("early_events", [0.0, 60.0])
async def test_order_within_a_contact_holds_though_its_group_was_halved(
    house: House, early_events: float
) -> None:
    house.early_events = early_events
    house.database.refused_contacts = {"zoe"}
    ended = event(
        "workflow.enrollment.ended",
        "acme",
        "ann",
        {"workflow_id": "w", "enrollment_id": "e-ann", "reason": "completed"},
    )
    events = [started("ann"), started("zoe"), started("bob"), ended, tagged("ann"), tagged("bob")]
    async with shard_of(house) as shard, asyncio.timeout(10):
        await shard.process([part(events)])
    assert (house.status("e-ann"), house.status("e-bob")) == ("completed", "completed_goal")
    assert house.exits == ["e-bob"]


async def test_event_that_is_refused_for_one_enrollment_still_ends_the_contacts_others(
    house: House,
) -> None:
    async with shard_of(house) as shard, asyncio.timeout(10):
        one, *others = (
            event(
                "workflow.enrollment.started",
                "acme",
                "ann",
                {"workflow_id": "w", "enrollment_id": f"e-{number}"},
            )
            for number in range(9)
        )
        await shard.process([part([one, *others])])
        house.store.refused_enrollments = {"e-4"}
        await shard.process([part([tagged("ann")], 1)])
    assert sorted(house.exits) == [f"e-{number}" for number in range(9) if number != 4]
    assert house.status("e-4") == "active"
    assert [letter[b"id"] for letter in house.dead] == [b"2-0"]


async def test_refused_and_interrupted_commits_together_lose_nothing(house: House) -> None:
    house.database.refused_contacts = {"c-3"}
    house.store.after_commit = [CommitUnknown("reset"), CommitUnknown("reset")]
    contacts = [f"c-{number}" for number in range(8)]
    events = [make(contact) for contact in contacts for make in (started, tagged)]
    async with shard_of(house) as shard, asyncio.timeout(20):
        await shard.process([part(events)])
        kept = sorted(f"e-{contact}" for contact in contacts if contact != "c-3")
        # All of it is there when the group is done, and not a moment later (D2).
        assert sorted(set(house.exits)) == kept
        assert len({exit_["id"] for exit_ in house.outgoing(EXITS)}) == len(kept)
    assert {letter[b"id"] for letter in house.dead} == {b"1-6"}


async def test_hundred_refused_in_a_row_of_several_tenants_stop_the_shard_and_not_its_process(
    house: House,
) -> None:
    contacts = [f"c-{number}" for number in range(BREAKER_EVENTS + 20)]
    house.database.refused_contacts = set(contacts)
    events = [started(contact, f"tenant-{n % 3}") for n, contact in enumerate(contacts)]
    async with shard_of(house) as shard, asyncio.timeout(20):
        for sequence in (0, 0, 1):
            with pytest.raises(BreakerOpen):
                await shard.process([part(events if sequence == 0 else [started("ann")], sequence)])
        assert not shard.ready
        assert "of several tenants" in str(shard.not_ready_reason)
        assert len(house.dead) < BREAKER_EVENTS
        assert house.status("e-ann") is None
        assert house.database.slot_leases


async def test_exits_committed_beside_what_opened_the_breaker_are_published(house: House) -> None:
    contacts = [f"c-{number}" for number in range(BREAKER_EVENTS - 1)]
    house.database.refused_contacts = set(contacts)
    refused = [started(contact, f"tenant-{n % 3}") for n, contact in enumerate(contacts)]
    data = {"workflow_id": "w", "enrollment_id": "e-other"}
    another = event("workflow.enrollment.started", "acme", "ann", data)
    async with shard_of(house) as shard, asyncio.timeout(20):
        await shard.process([part([started("ann"), another])])
        house.store.refused_enrollments = {"e-other"}
        with pytest.raises(BreakerOpen):
            await shard.process([part([*refused, tagged("ann")], 1)])
        assert house.status("e-ann") == "completed_goal"
        await house.until(lambda: house.exits == ["e-ann"])


async def test_one_tenants_refused_events_stop_nobody(house: House) -> None:
    contacts = [f"c-{number}" for number in range(2 * BREAKER_EVENTS)]
    house.database.refused_contacts = set(contacts)
    async with shard_of(house) as shard, asyncio.timeout(20):
        await shard.process([part([started(contact) for contact in contacts])])
        await shard.process([part([started("ann"), tagged("ann")], 1)])
        assert shard.ready
    assert house.exits == ["e-ann"]
    assert len(house.dead) == len(contacts)


def test_breaker_counts_those_in_a_row_alone() -> None:
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
