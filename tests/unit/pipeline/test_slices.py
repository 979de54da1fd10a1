"""One event that many enrollments of a contact wait for: committed in slices, each once."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from tests.support.pipeline.in_memory_pipeline import ALL, STREAM, House

from goald import _native
from goald.client import event
from goald.domain.errors import CommitUnknown
from goald.pipeline.shard.commit import SLICE_BYTES
from goald.pipeline.shard_batch import ShardBatch
from goald.ports.change import Change
from goald.redis_keys import EXITS
from goald.runtime.processes.shard import ShardProcess

ENROLLMENTS = 300


@pytest.fixture
def house() -> House:
    made = House()
    made.configure()
    return made


@pytest.fixture
async def shard(house: House) -> AsyncIterator[ShardProcess]:
    """In which one contact is enrolled many times."""
    made = house.shard()
    running = asyncio.ensure_future(made.run())
    await house.until(lambda: made.ready)
    starts = [
        event(
            "workflow.enrollment.started",
            "acme",
            "ann",
            {"workflow_id": "w", "enrollment_id": f"e-{number}"},
        )
        for number in range(ENROLLMENTS)
    ]
    async with asyncio.timeout(10):
        await made.process([part(starts, 0)])
    yield made
    made.stop()
    async with asyncio.timeout(10):
        await running


def part(events: Sequence[dict[str, Any]], sequence: int) -> ShardBatch:
    entries = [[f"{sequence}-{n}", json.dumps(one)] for n, one in enumerate(events)]
    raw = [[key.encode(), [b"event", body.encode()]] for key, body in entries]
    ((_, buffer, _),) = _native.Router(bytes(256), max_buffer=1 << 20).route(raw).buffers
    return ShardBatch(STREAM, 1, sequence, sequence, buffer)


def large() -> dict[str, Any]:
    """An event near the greatest size."""
    note = ["x" * 1_000] * 60
    return event("contact.tag.added", "acme", "ann", {"tag_name": "Customer", "note": note})


def weight(change: Change) -> int:
    texts = [*change.achievements.trigger_event, *(row.payload for row in change.outbox)]
    return sum(map(len, texts))


async def test_no_transaction_holds_more_than_its_bound_whatever_an_event_meets(
    house: House, shard: ShardProcess
) -> None:
    weights: list[int] = []
    commit = house.store.commit

    async def weighing(lease: Any, change: Change) -> Any:
        weights.append(weight(change))
        return await commit(lease, change)

    house.store.commit = weighing  # type: ignore[method-assign]
    async with asyncio.timeout(10):
        await shard.process([part([large()], 1)])
    assert len(weights) > 3
    assert max(weights) <= 1.1 * SLICE_BYTES
    assert sorted(house.exits) == sorted(f"e-{number}" for number in range(ENROLLMENTS))
    assert len(house.database.achievements) == ENROLLMENTS
    assert not house.database.active(ALL)


@pytest.mark.parametrize("times", [1, 3])
async def test_what_fails_between_two_slices_is_made_up_for(
    house: House, shard: ShardProcess, times: int
) -> None:
    house.store.after_commit = [CommitUnknown("the reply was lost") for _ in range(times)]
    async with asyncio.timeout(20):
        await shard.process([part([large()], 1)])
        # Done is done: what the lost commits wrote is published too (D2).
        exits = {exit_["id"]: exit_["data"]["enrollment_id"] for exit_ in house.outgoing(EXITS)}
    assert sorted(exits.values()) == sorted(f"e-{number}" for number in range(ENROLLMENTS))
    assert len(house.database.achievements) == ENROLLMENTS
    assert shard.not_ready_reason is None
