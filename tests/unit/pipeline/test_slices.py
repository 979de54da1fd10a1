"""An event that ends many enrollments is committed in slices, each once."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from tests.support.pipeline.in_memory_pipeline import ALL, STREAM, InMemoryPipeline

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
def pipeline() -> InMemoryPipeline:
    in_memory = InMemoryPipeline()
    in_memory.configure()
    return in_memory


@pytest.fixture
async def shard(pipeline: InMemoryPipeline) -> AsyncIterator[ShardProcess]:
    """A running shard in which one contact has many enrollments."""
    shard = pipeline.shard()
    running = asyncio.ensure_future(shard.run())
    await pipeline.until(lambda: shard.ready)
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
        await shard.process([batch(starts, 0)])
    yield shard
    shard.stop()
    async with asyncio.timeout(10):
        await running


def batch(events: Sequence[dict[str, Any]], sequence: int) -> ShardBatch:
    entries = [[f"{sequence}-{n}", json.dumps(each)] for n, each in enumerate(events)]
    raw = [[key.encode(), [b"event", body.encode()]] for key, body in entries]
    ((_, buffer, _),) = _native.Router(bytes(256), max_buffer=1 << 20).route(raw).buffers
    return ShardBatch(STREAM, 1, sequence, sequence, buffer)


def large() -> dict[str, Any]:
    """Return an event of nearly the maximum size."""
    note = ["x" * 1_000] * 60
    return event("contact.tag.added", "acme", "ann", {"tag_name": "Customer", "note": note})


def weight(change: Change) -> int:
    texts = [*change.achievements.trigger_event, *(row.payload for row in change.outbox)]
    return sum(map(len, texts))


async def test_transactions_are_bounded_however_many_enrollments_an_event_ends(
    pipeline: InMemoryPipeline, shard: ShardProcess
) -> None:
    weights: list[int] = []
    commit = pipeline.store.commit

    async def weighing(lease: Any, change: Change) -> Any:
        weights.append(weight(change))
        return await commit(lease, change)

    pipeline.store.commit = weighing  # type: ignore[method-assign]
    async with asyncio.timeout(10):
        await shard.process([batch([large()], 1)])
    assert len(weights) > 3
    assert max(weights) <= 1.1 * SLICE_BYTES
    assert sorted(pipeline.exits) == sorted(f"e-{number}" for number in range(ENROLLMENTS))
    assert len(pipeline.database.achievements) == ENROLLMENTS
    assert not pipeline.database.active(ALL)


@pytest.mark.parametrize("times", [1, 3])
async def test_failure_between_two_slices_loses_no_effect(
    pipeline: InMemoryPipeline, shard: ShardProcess, times: int
) -> None:
    pipeline.store.after_commit = [CommitUnknown("the reply was lost") for _ in range(times)]
    async with asyncio.timeout(20):
        await shard.process([batch([large()], 1)])
        # When the batch is processed, what the unknown commits wrote is published too (D2).
        exits = {exit_["id"]: exit_["data"]["enrollment_id"] for exit_ in pipeline.published(EXITS)}
    assert sorted(exits.values()) == sorted(f"e-{number}" for number in range(ENROLLMENTS))
    assert len(pipeline.database.achievements) == ENROLLMENTS
    assert shard.not_ready_reason is None


async def test_run_is_committed_with_the_use_of_an_event_that_follows_its_start(
    pipeline: InMemoryPipeline, shard: ShardProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a crash between them, the run would start after the event had counted for another."""
    monkeypatch.setattr("goald.pipeline.shard.commit.SLICE_EFFECTS", 1)
    commits: list[list[str]] = []
    commit = pipeline.store.commit

    async def recording(lease: Any, change: Change) -> Any:
        commits.append(list(change.effects.enrollment_id))
        return await commit(lease, change)

    pipeline.store.commit = recording  # type: ignore[method-assign]
    runs = (("b-1", "bob"), ("b-2", "bob"), ("c-1", "cyd"))
    events = [
        event(
            "workflow.enrollment.started",
            "acme",
            contact,
            {"workflow_id": "w"} | {"enrollment_id": id_},
        )
        for id_, contact in runs
    ]
    events.append(event("contact.tag.added", "acme", "bob", {"tag_name": "Customer"}))
    async with asyncio.timeout(10):
        await shard.process([batch(events, 1)])
    assert commits == [["b-1", "b-2"], ["c-1"]]
    assert sorted(pipeline.exits) == ["b-1", "b-2"]
