"""Tenants take turns in a shard: the expensive events of one do not delay another (D8)."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.support.pipeline.in_memory_pipeline import DEADLINE_SECONDS, STREAM, InMemoryPipeline

from goald import _native
from goald.domain.errors import LeaseLost, ServiceUnavailable
from goald.pipeline.shard.group import DeferredEvents, Group
from goald.pipeline.shard.throttle import REPORT_SECONDS
from goald.pipeline.shard.turns import (
    DEFERRED_BYTES,
    GROUPS_ALONE,
    SHARES,
    SHORT_TURN,
    Turns,
)
from goald.pipeline.shard_batch import Forwarded, Processed, ShardBatch
from goald.runtime.processes.shard import ShardProcess

ENROLLMENTS = 20
EFFECT = 2_400
"""Units of work of an exit. With this share, a tenant has one or two of them in a group."""


@pytest.fixture
def pipeline() -> InMemoryPipeline:
    in_memory = InMemoryPipeline(share=EFFECT)
    for number, tenant in enumerate(("acme", "globex"), 1):
        in_memory.configure(version=number, tenant=tenant)
    return in_memory


@asynccontextmanager
async def running(pipeline: InMemoryPipeline) -> AsyncIterator[ShardProcess]:
    shard = pipeline.shard()
    task = asyncio.ensure_future(shard.run())
    await pipeline.until(lambda: shard.ready)
    yield shard
    shard.stop()
    await task


class Sender:
    """Sends batches of one stream to a shard."""

    def __init__(self, shard: ShardProcess) -> None:
        self._shard = shard
        self._batches = self._events = 0

    def send(
        self, *events: tuple[str, str, dict[str, Any]], may_be_deferred: bool = False
    ) -> "asyncio.Future[Processed]":
        """Send (type, tenant, data) as one batch; return the end of the call."""
        entries = []
        for kind, tenant, data in events:
            self._events += 1
            body = {
                "id": f"ev-{self._events}",
                "source": "test",
                "type": kind,
                "time": f"2026-03-01T{self._events // 60:02}:{self._events % 60:02}:00Z",
                "tenantid": tenant,
                "data": {"contact_id": "ann", **data},
            }
            entry_id = f"{self._events}-0".encode()
            entries.append([entry_id, [b"event", json.dumps(body).encode()]])
        ((_, buffer, _),) = _native.Router(bytes(256)).route(entries).buffers
        self._last = ShardBatch(
            STREAM, 1, self._batches, 0, buffer, may_be_deferred=may_be_deferred
        )
        self._batches += 1
        return asyncio.ensure_future(self._shard.process([self._last]))

    def send_again(
        self, *, may_be_deferred: bool = False, epoch: int = 1
    ) -> "asyncio.Future[Processed]":
        """Send the last batch again, by default to wait for its deferred events. With another
        epoch, it is the first of another consumer."""
        batch = self._last._replace(may_be_deferred=may_be_deferred, epoch=epoch)
        if epoch > 1:
            batch = batch._replace(sequence=0)
        return asyncio.ensure_future(self._shard.process([batch]))


def start(tenant: str, enrollment: str) -> tuple[str, str, dict[str, Any]]:
    ids = {"workflow_id": "w", "enrollment_id": enrollment}
    return "workflow.enrollment.started", tenant, ids


def tag(tenant: str, name: str = "Customer") -> tuple[str, str, dict[str, Any]]:
    return "contact.tag.added", tenant, {"tag_name": name}


def end(tenant: str, enrollment: str) -> tuple[str, str, dict[str, Any]]:
    ids = {"workflow_id": "w", "enrollment_id": enrollment, "reason": "exited"}
    return "workflow.enrollment.ended", tenant, ids


def crowd(tenant: str = "acme") -> list[tuple[str, str, dict[str, Any]]]:
    return [start(tenant, f"e-{number}") for number in range(ENROLLMENTS)]


async def test_exit_of_another_tenant_comes_before_the_rest_of_an_expensive_event(
    pipeline: InMemoryPipeline,
) -> None:
    async with running(pipeline) as shard:
        sender = Sender(shard)
        await sender.send(*crowd(), start("globex", "other"))
        await asyncio.gather(sender.send(tag("acme")), sender.send(tag("globex")))
    exits = pipeline.exits
    assert sorted(exits) == sorted([*(f"e-{n}" for n in range(ENROLLMENTS)), "other"])
    assert exits.index("other") <= 4


async def test_call_returns_when_all_of_its_deferred_events_are_processed(
    pipeline: InMemoryPipeline,
) -> None:
    async with running(pipeline) as shard:
        sender = Sender(shard)
        await sender.send(*crowd(), start("globex", "other"))
        expensive, cheap = sender.send(tag("acme")), sender.send(tag("globex"))
        await cheap
        assert not expensive.done()
        await expensive
        assert len(pipeline.exits) == ENROLLMENTS + 1


async def test_call_returns_early_if_its_batches_may_be_deferred(
    pipeline: InMemoryPipeline,
) -> None:
    """Otherwise batches of other tenants would wait for a call in flight."""
    async with running(pipeline) as shard:
        sender = Sender(shard)
        await sender.send(*crowd(), start("globex", "other"))
        deferred = await sender.send(tag("acme"), tag("globex"), may_be_deferred=True)
        assert deferred.deferred == [0]
        assert "other" in pipeline.exits
        assert len(pipeline.exits) < ENROLLMENTS
        assert list((await sender.send_again()).deferred) == []
        assert len(pipeline.exits) == ENROLLMENTS + 1


async def test_call_for_a_batch_that_the_shard_has_returns_while_its_events_are_deferred(
    pipeline: InMemoryPipeline,
) -> None:
    """After a call failed, its batches are sent again, and others must not wait for them."""
    async with running(pipeline) as shard:
        sender = Sender(shard)
        await sender.send(*crowd())
        pipeline.outbound.down = ServiceUnavailable("Redis is down")
        first = sender.send(tag("acme"), may_be_deferred=True)
        repeated = sender.send_again(may_be_deferred=True)
        pipeline.outbound.down = None
        assert [(await call).deferred for call in (first, repeated)] == [[0], [0]]
        assert len(pipeline.exits) < ENROLLMENTS
        await sender.send_again()


async def test_calls_of_an_earlier_holder_of_a_stream_end(pipeline: InMemoryPipeline) -> None:
    async with running(pipeline) as shard:
        sender = Sender(shard)
        await sender.send(*crowd())
        pipeline.outbound.down = ServiceUnavailable("Redis is down")
        earlier = sender.send(tag("acme"), tag("acme"))
        await pipeline.until(lambda: pipeline.outbound.failures > 0)
        later = sender.send_again(epoch=2)
        with pytest.raises(LeaseLost):
            async with asyncio.timeout(DEADLINE_SECONDS):
                await earlier
        pipeline.outbound.down = None
        await later
    assert sorted(pipeline.exits) == sorted(f"e-{n}" for n in range(ENROLLMENTS))


async def test_new_events_of_a_tenant_wait_behind_its_deferred_events() -> None:
    turns = Turns(group_bytes=1_000)
    turns.put(batch(0), future())
    first = await turns.next()
    assert (first.tenants, first.deferred_tenants) == ((), frozenset())
    turns.put(batch(1), future())
    turns.defer(first, [deferred(first, "acme", 10), deferred(first, "acme", 11)], 1)
    # A turn of the deferred events, then new batches, in which the tenant's events wait.
    second = await turns.next()
    assert (second.tenants, sequences(second)) == (["acme"], [10, 11])
    turns.defer(second, [deferred(second, "acme", 11)], 1)
    third = await turns.next()
    assert (third.tenants, third.deferred_tenants) == ((), frozenset({"acme"}))
    turns.defer(third, [deferred(third, "acme", 12)], 1)
    assert sequences(await turns.next()) == [11, 12]


async def test_events_that_are_deferred_again_go_before_those_deferred_later() -> None:
    turns = Turns(group_bytes=1_000)
    turns.put(batch(0), future())
    first = await turns.next()
    large = bytes(DEFERRED_BYTES // SHORT_TURN // 2 + 1)
    turns.defer(first, [deferred(first, "acme", number, large) for number in range(3)], 0)
    second = await turns.next()
    assert sequences(second) == [0]
    turns.defer(second, second_again := [deferred(second, "acme", 0, large)], 0)
    assert sequences(await turns.next()) == [0]
    turns.defer(second, second_again, 0)
    turns.defer(first, [deferred(first, "acme", 3)], 0)
    found = []
    for _ in range(3):
        group = await turns.next()
        turns.defer(group, [], 1)
        found.append(sequences(group))
    assert found == [[0], [1], [2, 3]]


async def test_tenants_with_deferred_events_take_turns() -> None:
    turns = Turns(group_bytes=1_000)
    turns.put(batch(0), future())
    first = await turns.next()
    large = bytes(DEFERRED_BYTES)
    events = [deferred(first, tenant, 0, large) for tenant in ("a", "a", "b", "b", "c")]
    turns.defer(first, events, 1)
    found: list[str] = []
    for _ in range(5):
        group = await turns.next()
        turns.defer(group, [], 1)
        found += group.tenants
    assert found == ["a", "b", "c", "a", "b"]


async def test_group_has_the_deferred_events_of_several_tenants() -> None:
    """Otherwise each deferred tenant would need its own commit."""
    turns = Turns(group_bytes=1_000, share=100 * SHORT_TURN)
    turns.put(batch(0), future())
    first = await turns.next()
    tenants = [f"t-{number:02}" for number in range(50)]
    turns.defer(first, [deferred(first, tenant, 0, b"event") for tenant in tenants], 1)
    group = await turns.next()
    assert list(group.tenants) == tenants
    assert group.share == 100 // SHARES


async def test_a_turn_has_a_part_of_its_bytes_for_each_tenant() -> None:
    turns = Turns(group_bytes=1_000, deferred_bytes=100 * SHORT_TURN)
    turns.put(batch(0), future())
    first = await turns.next()
    many = [deferred(first, "acme", number, bytes(10)) for number in range(100)]
    turns.defer(first, [*many, deferred(first, "globex", 100, bytes(10))], 1)
    group = await turns.next()
    assert sequences(group) == [0, 1, 2, 3, 4, 100]


async def test_a_tenant_whose_events_had_no_room_in_a_group_is_first_in_a_later_one() -> None:
    turns = Turns(group_bytes=1_000)
    turns.put(batch(0), future())
    first = await turns.next()
    turns.defer(first, [deferred(first, tenant, 0) for tenant in ("a", "b", "c")], 1)
    found = []
    for _ in range(6):
        group = await turns.next()
        found.append(group.tenants[0])
        # The first tenant uses all of the work, and has more to do.
        turns.defer(group, [deferred(first, tenant, 0) for tenant in group.tenants], 1)
    assert found == ["a", "b", "c", "a", "b", "c"]


async def test_events_of_a_suspended_tenant_have_no_turn_until_it_resumes() -> None:
    turns = Turns(group_bytes=1_000)
    turns.put(batch(0), future())
    first = await turns.next()
    turns.suspend("acme")
    assert turns.without_suspended(first).deferred_tenants == {"acme"}
    turns.defer(first, [deferred(first, "acme", 1), deferred(first, "globex", 2)], 0)
    second = await turns.next()
    assert sequences(second) == [2]
    turns.defer(second, [], 1)
    third = asyncio.ensure_future(turns.next())
    await asyncio.sleep(0)
    turns.resume("acme")
    turns.suspend("acme")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not third.done()
    turns.resume("acme")
    assert sequences(await third) == [1]


async def test_later_holder_of_a_stream_replaces_the_events_of_earlier_ones() -> None:
    """Each restart of a consumer would add a copy of all events in flight."""
    turns = Turns(group_bytes=1_000)
    calls = [future() for _ in range(5)]
    turns.put(batch(0), calls[0])
    group = await turns.next()
    turns.put(batch(1), calls[1])
    turns.put(batch(0)._replace(stream="another"), calls[2])
    turns.defer(group, [deferred(group, "acme", 0)], 0)
    deferred_group = await turns.next()
    turns.put(batch(0)._replace(epoch=2), calls[3])
    turns.defer(deferred_group, [deferred(group, "acme", 0)], 0)
    assert [call.cancelled() for call in calls] == [True, True, False, False, False]
    group = await turns.next()
    assert [(each.stream, each.epoch) for each in group.batches] == [("another", 1), (STREAM, 2)]
    assert turns.deferred_bytes() == {}


async def test_turns_are_short_while_other_tenants_send_events() -> None:
    turns = Turns(group_bytes=1_000, share=100 * SHORT_TURN)
    turns.put(batch(0), future())
    first = await turns.next()
    assert first.share == 100 * SHORT_TURN
    turns.defer(first, [deferred(first, "acme", number) for number in range(3)], processed=1)
    turn = await turns.next()
    assert (turn.tenants, turn.share) == (["acme"], 100)
    turns.put(batch(1), future())
    turns.defer(turn, [deferred(turn, "acme", 2)], processed=2)
    for _ in range(GROUPS_ALONE):  # groups in which only this tenant has events
        group = await turns.next()
        assert group.share == (100 if group.tenants else 100 * SHORT_TURN)
        turns.defer(group, [deferred(first, "acme", 2)], processed=0)
    assert (await turns.next()).share == 100 * SHORT_TURN


async def test_turns_are_long_if_only_tenants_with_deferred_events_send_more() -> None:
    turns = Turns(group_bytes=1_000, share=100 * SHORT_TURN)
    turns.put(batch(0), future())
    first = await turns.next()
    turns.defer(first, [deferred(first, tenant, 0) for tenant in ("acme", "globex")], processed=0)
    for _ in range(GROUPS_ALONE):
        group = await turns.next()
        turns.defer(group, [deferred(first, tenant, 1) for tenant in group.tenants], processed=0)
    assert (await turns.next()).share == 100 * SHORT_TURN // SHARES


def future() -> "asyncio.Future[Sequence[Forwarded]]":
    return asyncio.get_running_loop().create_future()


def batch(sequence: int, buffer: bytes = b"") -> ShardBatch:
    return ShardBatch(STREAM, 1, sequence, 0, buffer)


def deferred(group: Group, tenant: str, sequence: int, buffer: bytes = b"") -> DeferredEvents:
    return DeferredEvents(tenant, batch(sequence, buffer), group.completions[0])


def sequences(group: Group) -> list[int]:
    return [each.sequence for each in group.batches]


async def test_bisection_keeps_the_order_of_a_tenant(pipeline: InMemoryPipeline) -> None:
    pipeline.store.refused_enrollments = {"refused"}
    async with running(pipeline) as shard:
        sender = Sender(shard)
        await sender.send(*crowd())
        # In the first half, `late` starts and exits, but waits behind the first tag. The second
        # half ends it.
        await sender.send(
            tag("acme"), start("acme", "late"), tag("acme"), tag("acme", "Friend"),
            end("acme", "late"), start("globex", "refused"), tag("acme", "Friend"),
            tag("acme", "Friend"),
        )  # fmt: skip
    assert sorted(pipeline.exits) == sorted([*(f"e-{n}" for n in range(ENROLLMENTS)), "late"])
    assert [each[b"id"] for each in pipeline.dead_letters] == [b"26-0"]


async def test_a_tenant_is_throttled_while_many_of_its_events_are_deferred(
    pipeline: InMemoryPipeline,
) -> None:
    """They fill the in-flight windows: then streams are not read, for any tenant."""
    pipeline.max_deferred_bytes = 1_000
    async with running(pipeline) as shard:
        sender = Sender(shard)
        await sender.send(*crowd(), start("globex", "other"))
        pipeline.outbound.down = ServiceUnavailable("Redis is down")
        calls = [sender.send(*[tag("acme")] * 20), sender.send(tag("globex"))]
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not (throttled := await pipeline.throttle.throttled()):
                await asyncio.sleep(0.01)
        assert throttled == {"acme"}
        pipeline.outbound.down = None
        await asyncio.gather(*calls)
        async with asyncio.timeout(DEADLINE_SECONDS):
            while await pipeline.throttle.throttled():
                await asyncio.sleep(0.01)


async def test_shard_continues_while_it_cannot_throttle_tenants(pipeline: InMemoryPipeline) -> None:
    pipeline.max_deferred_bytes = 0
    pipeline.throttle.down = ServiceUnavailable("Redis is down")
    async with running(pipeline) as shard:
        sender = Sender(shard)
        await sender.send(*crowd())
        await sender.send(tag("acme"))
        await asyncio.sleep(2 * REPORT_SECONDS)
        assert shard.ready
    assert len(pipeline.exits) == ENROLLMENTS
