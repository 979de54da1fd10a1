"""Timers fire only when everything that Redis received before is committed (X6)."""

import asyncio

import pytest

from goald.adapters.memory.clock import ManualClock
from goald.pipeline.executions.watermark import MARK_SECONDS, MAX_MARKS, Watermark
from goald.pipeline.shard_batch import ShardBatch, StreamMark

A, B = "goald:events:0", "goald:events:1"


def mark(
    at_ms: int, sequence: int = 0, *, first: int | None = None, stream: str = A, epoch: int = 1
) -> StreamMark:
    return StreamMark(stream, epoch, sequence, sequence if first is None else first, at_ms)


class Shard:
    """A watermark, and the batches that it was given."""

    def __init__(self, *streams: str) -> None:
        self.clock = ManualClock()
        self.watermark = Watermark(self.clock, streams or (A,))

    def admit(self, sequence: int, epoch: int = 1, stream: str = A) -> "asyncio.Future[None]":
        committed = asyncio.get_running_loop().create_future()
        self.watermark.admit(ShardBatch(stream, epoch, sequence, 0, b""), committed)
        return committed


async def test_no_timer_fires_before_every_stream_has_a_mark() -> None:
    shard = Shard(A, B)
    assert shard.watermark.value_ms() is None
    shard.watermark.mark(mark(100))
    assert shard.watermark.value_ms() is None
    shard.watermark.mark(mark(90, stream=B))
    assert shard.watermark.value_ms() == 90


async def test_a_mark_waits_until_the_batches_before_it_are_committed() -> None:
    shard = Shard()
    first, second = shard.admit(0), shard.admit(1)
    shard.watermark.mark(mark(100, 2, first=0))
    first.set_result(None)
    assert shard.watermark.value_ms() is None
    second.set_result(None)
    assert shard.watermark.value_ms() == 100


async def test_a_mark_does_not_wait_for_later_batches() -> None:
    shard = Shard()
    first, _ = shard.admit(0), shard.admit(1)
    shard.watermark.mark(mark(100, 1, first=0))
    shard.watermark.mark(mark(200, 2, first=0))
    first.set_result(None)
    assert shard.watermark.value_ms() == 100


async def test_a_mark_counts_although_the_sender_awaits_the_reply_of_committed_batches() -> None:
    shard = Shard()
    shard.admit(0).set_result(None)
    shard.watermark.mark(mark(100, 1, first=0))
    assert shard.watermark.value_ms() == 100
    second = shard.admit(1)
    shard.watermark.mark(mark(200, 2, first=0))
    assert shard.watermark.value_ms() == 100
    second.set_result(None)
    assert shard.watermark.value_ms() == 200


async def test_a_mark_that_overtakes_its_batches_waits_for_them() -> None:
    """The call with the batches failed, and they are sent again."""
    shard = Shard()
    shard.watermark.mark(mark(100, 2, first=0))
    assert shard.watermark.value_ms() is None
    shard.admit(0).set_result(None)
    assert shard.watermark.value_ms() is None
    shard.admit(1).set_result(None)
    assert shard.watermark.value_ms() == 100


async def test_a_shard_that_restarted_needs_no_batch_that_was_processed_before() -> None:
    shard = Shard()
    shard.watermark.mark(mark(100, 7))
    assert shard.watermark.value_ms() == 100


async def test_batches_that_got_other_numbers_do_not_hold_later_marks() -> None:
    """The sender splits batches with which a shard died."""
    shard = Shard()
    shard.watermark.mark(mark(100, 2, first=0))
    for sequence in (2, 3, 4):
        shard.admit(sequence).set_result(None)
    shard.watermark.mark(mark(200, 5, first=2))
    assert shard.watermark.value_ms() == 200


async def test_an_earlier_holder_of_the_stream_is_ignored() -> None:
    shard = Shard()
    shard.watermark.mark(mark(100, epoch=2))
    shard.watermark.mark(mark(900, epoch=1))
    shard.admit(0, epoch=1)
    assert shard.watermark.value_ms() == 100


async def test_batches_of_an_earlier_holder_do_not_count_for_its_successor() -> None:
    """The next holder sends the events again, in batches with the same numbers."""
    shard = Shard()
    shard.admit(0).set_result(None)
    shard.watermark.mark(mark(200, 1, first=0, epoch=2))
    assert shard.watermark.value_ms() is None
    shard.admit(0, epoch=2).set_result(None)
    assert shard.watermark.value_ms() == 200


async def test_the_watermark_never_goes_back() -> None:
    shard = Shard()
    shard.watermark.mark(mark(200))
    assert shard.watermark.value_ms() == 200
    shard.watermark.mark(mark(150, epoch=2))
    assert shard.watermark.value_ms() == 200


async def test_a_batch_whose_call_was_cancelled_does_not_count() -> None:
    shard = Shard()
    shard.admit(0).cancel()
    shard.watermark.mark(mark(100, 1, first=0))
    assert shard.watermark.value_ms() is None


async def test_a_stream_that_is_not_read_is_named() -> None:
    shard = Shard(A, B)
    await shard.clock.advance(MARK_SECONDS / 2)
    shard.watermark.mark(mark(100))
    assert shard.watermark.not_ready_reason is None
    await shard.clock.advance(MARK_SECONDS / 2 + 1)
    assert shard.watermark.not_ready_reason == f"timers wait for {B}, read 6 s ago"
    shard.watermark.mark(mark(100, stream=B))
    assert shard.watermark.not_ready_reason is None


async def test_marks_that_wait_take_bounded_memory_and_the_latest_one_counts() -> None:
    shard = Shard()
    first = shard.admit(0)
    for number in range(10 * MAX_MARKS):
        shard.watermark.mark(mark(100 + number, 1, first=0))
    first.set_result(None)
    assert shard.watermark.value_ms() == 100 + 10 * MAX_MARKS - 1


@pytest.mark.parametrize("stream", ["goald:forwards", "elsewhere"])
async def test_other_streams_are_ignored(stream: str) -> None:
    shard = Shard()
    shard.admit(0, stream=stream)
    shard.watermark.mark(mark(100, stream=stream))
    assert shard.watermark.value_ms() is None
