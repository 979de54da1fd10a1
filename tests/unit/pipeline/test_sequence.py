"""A shard takes a stream's parts in order, each once (design 2, step 2)."""

import asyncio

import pytest

from goald.domain.errors import LeaseLost, OutOfSequence
from goald.pipeline.shard.sequence import Sequencer
from goald.pipeline.shard_batch import ShardBatch


def part(
    sequence: int, *, floor: int = 0, epoch: int = 1, stream: str = "goald:events:0"
) -> ShardBatch:
    return ShardBatch(stream, epoch, sequence, floor, b"")


async def test_parts_are_taken_in_order() -> None:
    sequencer = Sequencer()
    assert [sequencer.admit(part(number))[1] for number in range(3)] == [True, True, True]


async def test_part_that_overtakes_another_is_refused() -> None:
    sequencer = Sequencer()
    sequencer.admit(part(0))
    with pytest.raises(OutOfSequence):
        sequencer.admit(part(2))


async def test_new_shard_begins_at_the_first_that_is_not_acknowledged() -> None:
    sequencer = Sequencer()
    with pytest.raises(OutOfSequence):
        sequencer.admit(part(6, floor=5))
    assert sequencer.admit(part(5, floor=5))[1]
    assert sequencer.admit(part(6, floor=5))[1]


async def test_repeat_of_a_part_under_way_waits_for_the_first() -> None:
    sequencer = Sequencer()
    first, _ = sequencer.admit(part(0))
    again, is_next = sequencer.admit(part(0))
    assert again is first
    assert not is_next


async def test_repeat_of_a_finished_part_is_answered_at_once() -> None:
    sequencer = Sequencer()
    first, _ = sequencer.admit(part(0))
    first.set_result(None)
    await asyncio.sleep(0)
    again, is_next = sequencer.admit(part(0))
    assert again.done()
    assert not is_next


async def test_later_epoch_of_a_stream_begins_a_new_sequence() -> None:
    sequencer = Sequencer()
    sequencer.admit(part(0))
    assert sequencer.admit(part(0, epoch=2))[1]


async def test_consumer_that_was_replaced_hands_over_nothing_more() -> None:
    sequencer = Sequencer()
    sequencer.admit(part(0, epoch=2))
    with pytest.raises(LeaseLost):
        sequencer.admit(part(0, epoch=1))


async def test_streams_are_counted_apart() -> None:
    sequencer = Sequencer()
    sequencer.admit(part(0))
    assert sequencer.admit(part(0, stream="goald:events:1"))[1]


async def test_part_that_came_early_waits_for_those_before_it() -> None:
    sequencer = Sequencer()
    sequencer.admit(part(0))
    early = asyncio.ensure_future(sequencer.turn(part(2)))
    await asyncio.sleep(0)
    assert not early.done()
    sequencer.admit(part(1))
    await early
    assert sequencer.admit(part(2))[1]


async def test_part_whose_predecessor_never_comes_is_refused() -> None:
    sequencer = Sequencer()
    sequencer.admit(part(0))
    await sequencer.turn(part(2))
    with pytest.raises(OutOfSequence):
        sequencer.admit(part(2))


async def test_a_part_that_is_its_senders_floor_is_taken_at_any_number_above() -> None:
    """Its sender has cut what is not done anew, under numbers that were never used."""
    sequencer = Sequencer()
    sequencer.admit(ShardBatch("goald:events:0", 1, 0, 0, b"whole"))
    _, is_next = sequencer.admit(ShardBatch("goald:events:0", 1, 7, 7, b"half"))
    assert is_next
    _, is_next = sequencer.admit(ShardBatch("goald:events:0", 1, 8, 7, b"half"))
    assert is_next
    with pytest.raises(OutOfSequence):
        sequencer.admit(ShardBatch("goald:events:0", 1, 10, 7, b"later"))
