"""`ports.EventStream`: reading, fencing and acknowledging (D2, D3, D10)."""

import asyncio
from typing import Any

import pytest
from tests.contract.stream_backends import Backend

from goald.domain.errors import LeaseLost, ServerReplaced
from goald.domain.leases import StreamLease
from goald.ports.event_stream import EventStream

STREAM = "goald:events:3"


def lease(epoch: int) -> StreamLease:
    return StreamLease(STREAM, epoch, f"holder-{epoch}")


async def fenced(backend: Backend, epoch: int = 1) -> EventStream:
    stream = backend.event_stream(STREAM)
    await stream.fence(lease(epoch))
    return stream


async def add(backend: Backend, count: int, first: int = 0) -> list[bytes]:
    return await backend.add(STREAM, [b"e%d" % n for n in range(first, first + count)])


def events(entries: list[Any]) -> list[bytes | None]:
    return [fields and fields[fields.index(b"event") + 1] for _, fields in entries]


def milliseconds(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[0])


def ids(entries: list[Any]) -> list[bytes]:
    return [entry_id for entry_id, _ in entries]


async def test_entries_come_in_order_in_pages(backend: Backend) -> None:
    stream = await fenced(backend)
    added = await add(backend, 5)
    first = await stream.read(b"0-0", 3)
    second = await stream.read(first[-1][0], 3)
    assert ids(first + second) == added
    assert events(first + second) == [b"e0", b"e1", b"e2", b"e3", b"e4"]
    assert await stream.read(added[-1], 3) == []


async def test_entries_after_a_read_have_its_time_or_a_later_one(backend: Backend) -> None:
    stream = await fenced(backend)
    assert stream.read_at_ms == 0
    (before,) = await add(backend, 1)
    for count in (1, 10):
        entries = await stream.read(b"0-0", count)
        read_at_ms = stream.read_at_ms
        (after,) = await add(backend, 1)
        assert ids(entries)[0] == before
        assert after not in ids(entries)
        assert milliseconds(before) <= read_at_ms <= milliseconds(after)
        await backend.pass_time(0.005)
    assert await stream.read(after, 10) == []
    assert stream.read_at_ms > milliseconds(after)


async def test_no_entry_that_a_read_did_not_return_is_older_than_the_read(backend: Backend) -> None:
    stream = await fenced(backend)
    is_reading = True

    async def add_meanwhile() -> None:
        while is_reading:
            await add(backend, 1)
            await asyncio.sleep(0)

    adding = asyncio.create_task(add_meanwhile())
    exhausted, last = [], b"0-0"
    for _ in range(200):
        entries = await stream.read(last, 1_000)
        if entries:
            last = entries[-1][0]
        exhausted.append((last, stream.read_at_ms))
        await asyncio.sleep(0)
    is_reading = False
    await adding
    for last, read_at_ms in exhausted:
        for entry_id in ids(await stream.read(last, 1)):
            assert milliseconds(entry_id) >= read_at_ms


async def test_reading_again_returns_the_same_entries(backend: Backend) -> None:
    stream = await fenced(backend)
    added = await add(backend, 2)
    assert ids(await stream.read(b"0-0", 10)) == added
    assert ids(await stream.read(b"0-0", 10)) == added


async def test_the_epoch_of_a_stream_can_be_read_without_a_lease(backend: Backend) -> None:
    other = backend.event_stream(STREAM)
    assert await other.epoch() == 0
    await fenced(backend, 7)
    assert await other.epoch() == 7
    with pytest.raises(LeaseLost):
        await other.fence(lease(6))
    assert await other.epoch() == 7


async def test_entries_from_before_the_group_existed_are_read(backend: Backend) -> None:
    added = await add(backend, 2)
    stream = backend.event_stream(STREAM)
    assert await stream.fence(lease(1)) == b"0-0"
    assert ids(await stream.read(b"0-0", 10)) == added


async def test_a_new_holder_starts_at_the_acknowledged_position(backend: Backend) -> None:
    last = await fenced(backend, epoch=1)
    added = await add(backend, 5)
    await last.read(b"0-0", 4)
    await last.acknowledge(added[0], 1)
    successor = backend.event_stream(STREAM)
    position = await successor.fence(lease(2))
    assert position == added[0]
    assert ids(await successor.read(position, 10)) == added[1:]


async def test_an_older_epoch_reads_and_acknowledges_nothing(backend: Backend) -> None:
    older = await fenced(backend, epoch=1)
    added = await add(backend, 3)
    await older.read(b"0-0", 1)
    newer = await fenced(backend, epoch=2)
    with pytest.raises(LeaseLost):
        await older.read(b"0-0", 10)
    with pytest.raises(LeaseLost):
        await older.acknowledge(added[0], 1)
    assert await backend.unacknowledged(STREAM) == 3
    assert events(await newer.read(b"0-0", 10)) == [b"e0", b"e1", b"e2"]


async def test_an_older_epoch_cannot_fence(backend: Backend) -> None:
    newer = await fenced(backend, epoch=10)
    with pytest.raises(LeaseLost):
        await fenced(backend, epoch=9)
    await add(backend, 1)
    assert events(await newer.read(b"0-0", 10)) == [b"e0"]


async def test_fencing_again_with_the_same_epoch_succeeds(backend: Backend) -> None:
    stream = await fenced(backend, epoch=4)
    await stream.fence(lease(4))
    await add(backend, 1)
    assert events(await stream.read(b"0-0", 10)) == [b"e0"]


async def test_a_stream_cannot_be_read_before_it_is_fenced(backend: Backend) -> None:
    await add(backend, 1)
    with pytest.raises(LeaseLost):
        await backend.event_stream(STREAM).read(b"0-0", 1)


async def test_acknowledging_twice_changes_nothing(backend: Backend) -> None:
    stream = await fenced(backend)
    added = await add(backend, 3)
    await stream.acknowledge(added[1], 2)
    await stream.acknowledge(added[1], 0)
    assert await backend.unacknowledged(STREAM) == 1


async def test_acknowledging_every_entry_leaves_none_unacknowledged(backend: Backend) -> None:
    stream = await fenced(backend)
    added = await add(backend, 2_500)
    assert ids(await stream.read(b"0-0", 5_000)) == added
    await stream.acknowledge(added[999], 1_000)
    assert await backend.unacknowledged(STREAM) == 1_500
    await stream.acknowledge(added[-1], 1_500)
    assert await backend.unacknowledged(STREAM) == 0


async def test_an_acknowledgement_creates_a_removed_group_again(backend: Backend) -> None:
    stream = await fenced(backend)
    added = await add(backend, 2)
    await backend.drop_group(STREAM)
    assert ids(await stream.read(b"0-0", 10)) == added
    await stream.acknowledge(added[0], 1)
    assert await backend.unacknowledged(STREAM) == 1


async def test_after_redis_lost_its_data_the_stream_is_fenced_again(backend: Backend) -> None:
    stream = await fenced(backend, epoch=5)
    added = await add(backend, 2)
    await stream.acknowledge(added[1], 2)
    await backend.flush()
    await add(backend, 1, first=2)
    with pytest.raises(ServerReplaced):
        await stream.read(added[1], 10)
    assert await stream.fence(lease(5)) == b"0-0"
    assert events(await stream.read(b"0-0", 10)) == [b"e2"]


async def test_waiting_ends_when_an_entry_is_added_and_reads_nothing(backend: Backend) -> None:
    stream = await fenced(backend)
    (first,) = await add(backend, 1)
    waiting = asyncio.create_task(stream.wait(first, 30))
    await asyncio.sleep(0)
    await add(backend, 1, first=1)
    async with asyncio.timeout(10):
        assert await waiting is True
    assert events(await stream.read(first, 10)) == [b"e1"]


async def test_a_wait_without_entries_ends_after_its_time(backend: Backend) -> None:
    stream = await fenced(backend)
    (last,) = await add(backend, 1)
    async with asyncio.timeout(10):
        assert await stream.wait(last, 0.05) is False


async def test_waiting_ends_immediately_if_there_are_entries(backend: Backend) -> None:
    stream = await fenced(backend)
    added = await add(backend, 2)
    async with asyncio.timeout(10):
        assert await stream.wait(added[0], 30) is True


async def test_a_cancelled_wait_does_not_affect_the_next(backend: Backend) -> None:
    stream = await fenced(backend)
    last = b"0-0"
    for number in range(5):
        waiting = asyncio.create_task(stream.wait(last, 30))
        await asyncio.sleep(0.002 * number)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await add(backend, 1, first=number)
        assert await stream.wait(last, 10) is True
        entries = await stream.read(last, 10)
        assert events(entries) == [b"e%d" % number]
        last = entries[-1][0]


async def test_a_cancelled_read_never_shifts_replies(backend: Backend) -> None:
    """Cancel a read after each number of turns of the event loop: each later read still gets
    its own reply."""
    stream = await fenced(backend)
    added = await add(backend, 40)
    for turns in range(40):
        task = asyncio.create_task(stream.read(b"0-0", 1))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert ids(await stream.read(added[turns], 1_000)) == added[turns + 1 :]


async def test_a_cancelled_read_keeps_the_fence(backend: Backend) -> None:
    older = await fenced(backend, epoch=1)
    await add(backend, 5)
    for turns in range(0, 40, 3):
        task = asyncio.create_task(older.read(b"0-0", 1))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    await fenced(backend, epoch=2)
    for _ in range(3):
        with pytest.raises(LeaseLost):
            await older.read(b"0-0", 10)


async def test_concurrent_reads_and_acknowledgements_get_their_own_replies(
    backend: Backend,
) -> None:
    stream = await fenced(backend)
    added = await add(backend, 200)

    async def read(first: int) -> None:
        for at in range(first, 199, 3):
            assert ids(await stream.read(added[at], 1)) == [added[at + 1]]

    async def acknowledge() -> None:
        for at in range(0, 200, 10):
            await stream.acknowledge(added[at + 9], 10)

    await asyncio.gather(read(0), read(1), read(2), acknowledge(), stream.wait(added[-1], 0.01))
    assert await backend.unacknowledged(STREAM) == 0


async def test_a_stream_that_lost_entries_is_replaced(backend: Backend) -> None:
    """The stream and its group are removed; new entries may have lower ids."""
    stream = await fenced(backend)
    added = await add(backend, 3)
    await stream.acknowledge(added[-1], 3)
    assert await stream.count_lost(added[-1]) == 0
    await backend.remove(STREAM)
    with pytest.raises(ServerReplaced):
        await stream.count_lost(added[-1])
    assert await stream.fence(lease(1)) == b"0-0"


async def test_a_moved_group_is_detected(backend: Backend) -> None:
    """An operator moved the group back to reprocess events."""
    stream = await fenced(backend)
    added = await add(backend, 3)
    await stream.acknowledge(added[-1], 3)
    await backend.move_group(STREAM, added[0])
    with pytest.raises(ServerReplaced):
        await stream.count_lost(added[-1])
    assert await stream.fence(lease(1)) == added[0]


async def test_entries_that_were_trimmed_unread_are_counted_once(backend: Backend) -> None:
    stream = await fenced(backend)
    added = await add(backend, 10)
    assert ids(await stream.read(b"0-0", 2)) == added[:2]
    for entry_id in added[:6]:
        await backend.delete(STREAM, entry_id)
    lost = await stream.count_lost(added[1])
    assert ids(await stream.read(added[1], 10)) == added[6:]
    lost += await stream.count_lost(added[-1])
    await stream.acknowledge(added[-1], 6)
    successor = await fenced(backend, epoch=2)
    assert lost + await successor.count_lost(added[-1]) == backend.countable(4)


async def test_entries_trimmed_while_no_reader_runs_are_counted(backend: Backend) -> None:
    stream = await fenced(backend)
    added = await add(backend, 5)
    await stream.acknowledge(added[0], 1)
    for entry_id in added:
        await backend.delete(STREAM, entry_id)
    successor = await fenced(backend, epoch=2)
    assert await successor.count_lost(added[0]) == (4 if backend.countable(4) else 1)
    assert await successor.count_lost(added[0]) == 0


async def test_trimming_read_entries_is_no_loss(backend: Backend) -> None:
    stream = await fenced(backend)
    last = b"0-0"
    for _ in range(3):
        added = await add(backend, 4)
        assert ids(await stream.read(last, 10)) == added
        last = added[-1]
        await stream.acknowledge(added[-1], 4)
        for entry_id in added:
            await backend.delete(STREAM, entry_id)
        assert await stream.count_lost(added[-1]) == 0
    successor = await fenced(backend, epoch=2)
    assert await successor.count_lost(added[-1]) == 0


async def test_a_loss_of_all_data_is_not_counted_as_trimming(backend: Backend) -> None:
    stream = await fenced(backend)
    added = await add(backend, 3)
    await stream.read(b"0-0", 1)
    await backend.flush()
    with pytest.raises(ServerReplaced):
        await stream.count_lost(added[0])
    position = await stream.fence(lease(1))
    assert await stream.count_lost(position) == 0
    added = await add(backend, 2)
    assert await stream.count_lost(position) == 0
    assert ids(await stream.read(position, 10)) == added
    assert await stream.count_lost(added[-1]) == 0


async def test_starts_are_counted_until_something_is_acknowledged(backend: Backend) -> None:
    stream = await fenced(backend)
    added = await add(backend, 2)
    assert [(await stream.count_start()).starts for _ in range(3)] == [1, 2, 3]
    await stream.acknowledge(added[0], 1)
    assert await stream.count_start() == (1, False)
    await stream.clear_starts()
    assert await stream.count_start() == (1, False)


async def test_attempts_of_an_entry_survive_the_death_of_the_reader(backend: Backend) -> None:
    added = await add(backend, 2)
    for attempts in (1, 2, 3):
        stream = await fenced(backend, epoch=attempts)
        assert await stream.count_start() == (attempts, attempts > 1)
        assert await stream.count_attempt(added[0]) == attempts
    await stream.clear_attempts()
    assert await stream.count_start() == (4, False)
    assert await stream.count_attempt(added[0]) == 1
    assert await stream.count_attempt(added[1]) == 1
