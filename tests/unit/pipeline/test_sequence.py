"""A shard admits the batches of a stream in order, each once."""

import asyncio

import pytest

from goald.domain.errors import LeaseLost, OutOfSequence
from goald.pipeline.shard.sequence import Sequencer
from goald.pipeline.shard_batch import Forwarded, ShardBatch


def batch(
    sequence: int, *, first: int = 0, epoch: int = 1, stream: str = "goald:events:0"
) -> ShardBatch:
    return ShardBatch(stream, epoch, sequence, first, b"")


async def test_batches_are_admitted_in_order() -> None:
    sequencer = Sequencer()
    assert [sequencer.admit(batch(number))[1] for number in range(3)] == [True, True, True]


async def test_batch_that_skips_another_is_refused() -> None:
    sequencer = Sequencer()
    sequencer.admit(batch(0))
    with pytest.raises(OutOfSequence):
        sequencer.admit(batch(2))


async def test_restarted_shard_starts_at_the_first_unacknowledged_batch() -> None:
    sequencer = Sequencer()
    with pytest.raises(OutOfSequence):
        sequencer.admit(batch(6, first=5))
    assert sequencer.admit(batch(5, first=5))[1]
    assert sequencer.admit(batch(6, first=5))[1]


async def test_repeat_of_a_batch_in_flight_waits_for_the_first() -> None:
    sequencer = Sequencer()
    first, _ = sequencer.admit(batch(0))
    again, is_next = sequencer.admit(batch(0))
    assert again is first
    assert not is_next


async def test_repeat_of_a_processed_batch_returns_immediately() -> None:
    sequencer = Sequencer()
    first, _ = sequencer.admit(batch(0))
    first.set_result(())
    await asyncio.sleep(0)
    again, is_next = sequencer.admit(batch(0))
    assert again.done()
    assert not is_next


async def test_events_to_pass_on_are_answered_again_until_the_sender_has_the_answer() -> None:
    """Without them, the events of a merged contact would be lost with a reply."""
    sequencer = Sequencer()
    first, _ = sequencer.admit(batch(0))
    first.set_result((Forwarded(7, b"events"),))
    await asyncio.sleep(0)
    again, is_next = sequencer.admit(batch(0))
    assert (again.result(), is_next) == ((Forwarded(7, b"events"),), False)
    sequencer.admit(batch(1, first=1))
    forgotten, _ = sequencer.admit(batch(0))
    assert forgotten.result() == ()


async def test_later_epoch_of_a_stream_starts_a_new_sequence() -> None:
    sequencer = Sequencer()
    sequencer.admit(batch(0))
    assert sequencer.admit(batch(0, epoch=2))[1]


async def test_batch_of_a_replaced_consumer_is_refused() -> None:
    sequencer = Sequencer()
    sequencer.admit(batch(0, epoch=2))
    with pytest.raises(LeaseLost):
        sequencer.admit(batch(0, epoch=1))


async def test_each_stream_has_its_own_sequence() -> None:
    sequencer = Sequencer()
    sequencer.admit(batch(0))
    assert sequencer.admit(batch(0, stream="goald:events:1"))[1]


async def test_batch_that_arrives_early_waits_for_its_predecessors() -> None:
    sequencer = Sequencer()
    sequencer.admit(batch(0))
    early = asyncio.ensure_future(sequencer.turn(batch(2)))
    await asyncio.sleep(0)
    assert not early.done()
    sequencer.admit(batch(1))
    await early
    assert sequencer.admit(batch(2))[1]


async def test_batch_whose_predecessor_never_arrives_is_refused() -> None:
    sequencer = Sequencer()
    sequencer.admit(batch(0))
    await sequencer.turn(batch(2))
    with pytest.raises(OutOfSequence):
        sequencer.admit(batch(2))


async def test_first_unacknowledged_batch_is_admitted_at_any_later_number() -> None:
    """The sender split its unacknowledged batches and gave them unused numbers."""
    sequencer = Sequencer()
    sequencer.admit(ShardBatch("goald:events:0", 1, 0, 0, b"whole"))
    _, is_next = sequencer.admit(ShardBatch("goald:events:0", 1, 7, 7, b"half"))
    assert is_next
    _, is_next = sequencer.admit(ShardBatch("goald:events:0", 1, 8, 7, b"half"))
    assert is_next
    with pytest.raises(OutOfSequence):
        sequencer.admit(ShardBatch("goald:events:0", 1, 10, 7, b"later"))
