"""`ports.EventStream`: what the pipeline relies on when it reads (design 2, steps 1 and 6)."""

import asyncio
from typing import Any

import pytest
from tests.contract.stream_backends import Backend

from goald.domain.errors import LeaseLost
from goald.domain.leases import StreamLease
from goald.ports import EventStream

STREAM = "goald:events:3"


def lease(epoch: int) -> StreamLease:
    return StreamLease(STREAM, epoch, f"holder-{epoch}")


async def claimed(backend: Backend, epoch: int = 1) -> EventStream:
    stream = backend.event_stream(STREAM)
    await stream.claim(lease(epoch))
    return stream


async def add(backend: Backend, count: int, first: int = 0) -> list[bytes]:
    return await backend.add(STREAM, [b"e%d" % n for n in range(first, first + count)])


def events(entries: list[Any]) -> list[bytes | None]:
    return [fields and fields[fields.index(b"event") + 1] for _, fields in entries]


def ids(entries: list[Any]) -> list[bytes]:
    return [entry_id for entry_id, _ in entries]


async def test_new_entries_come_in_order_and_once(backend: Backend) -> None:
    stream = await claimed(backend)
    added = await add(backend, 5)
    first, second = await stream.read_new(3), await stream.read_new(3)
    assert ids(first + second) == added
    assert events(first + second) == [b"e0", b"e1", b"e2", b"e3", b"e4"]
    assert await stream.read_new(3) == []


async def test_entries_from_before_the_group_existed_are_read(backend: Backend) -> None:
    added = await add(backend, 2)
    stream = await claimed(backend)
    assert ids(await stream.read_new(10)) == added


async def test_a_new_holder_finds_what_the_last_did_not_acknowledge(backend: Backend) -> None:
    last = await claimed(backend, epoch=1)
    added = await add(backend, 5)
    await last.read_new(4)
    await last.acknowledge(added[:1])
    following = await claimed(backend, epoch=2)
    assert ids(await following.read_pending(b"0", 10)) == added[1:4]
    assert ids(await following.read_new(10)) == added[4:]


async def test_pending_entries_come_in_pages(backend: Backend) -> None:
    stream = await claimed(backend)
    added = await add(backend, 5)
    await stream.read_new(5)
    pages = []
    after = b"0"
    while page := await stream.read_pending(after, 2):
        pages.append(ids(page))
        after = page[-1][0]
    assert pages == [added[0:2], added[2:4], added[4:5]]


async def test_an_entry_trimmed_before_it_was_acknowledged_comes_without_fields(
    backend: Backend,
) -> None:
    stream = await claimed(backend)
    added = await add(backend, 2)
    await stream.read_new(2)
    await backend.delete(STREAM, added[0])
    pending = await stream.read_pending(b"0", 10)
    assert ids(pending) == added
    assert events(pending) == [None, b"e1"]


async def test_an_older_epoch_reads_nothing(backend: Backend) -> None:
    older = await claimed(backend, epoch=1)
    await add(backend, 3)
    await older.read_new(1)
    newer = await claimed(backend, epoch=2)
    with pytest.raises(LeaseLost):
        await older.read_new(10)
    with pytest.raises(LeaseLost):
        await older.read_pending(b"0", 10)
    assert await backend.pending(STREAM) == 1
    assert events(await newer.read_new(10)) == [b"e1", b"e2"]


async def test_an_older_epoch_cannot_claim(backend: Backend) -> None:
    newer = await claimed(backend, epoch=10)
    with pytest.raises(LeaseLost):
        await claimed(backend, epoch=9)
    await add(backend, 1)
    assert events(await newer.read_new(10)) == [b"e0"]


async def test_claiming_again_with_the_same_epoch_keeps_it(backend: Backend) -> None:
    stream = await claimed(backend, epoch=4)
    await stream.claim(lease(4))
    await add(backend, 1)
    assert events(await stream.read_new(10)) == [b"e0"]


async def test_a_stream_that_was_not_claimed_is_not_read(backend: Backend) -> None:
    await add(backend, 1)
    with pytest.raises(LeaseLost):
        await backend.event_stream(STREAM).read_new(1)


async def test_acknowledging_twice_changes_nothing(backend: Backend) -> None:
    stream = await claimed(backend)
    added = await add(backend, 3)
    await stream.read_new(3)
    await stream.acknowledge(added[:2])
    await stream.acknowledge(added[:2])
    await stream.acknowledge([])
    assert ids(await stream.read_pending(b"0", 10)) == added[2:]


async def test_many_entries_are_acknowledged_at_once(backend: Backend) -> None:
    stream = await claimed(backend)
    added = await add(backend, 2_500)
    assert ids(await stream.read_new(5_000)) == added
    await stream.acknowledge(added)
    assert await backend.pending(STREAM) == 0


async def test_a_group_that_was_removed_is_made_again_and_everything_is_read_again(
    backend: Backend,
) -> None:
    stream = await claimed(backend)
    await add(backend, 2)
    await stream.read_new(10)
    await backend.drop_group(STREAM)
    assert events(await stream.read_new(10)) == [b"e0", b"e1"]


async def test_after_redis_lost_everything_the_stream_is_claimed_anew(backend: Backend) -> None:
    stream = await claimed(backend, epoch=5)
    await add(backend, 2)
    await stream.read_new(10)
    await backend.flush()
    await add(backend, 1, first=2)
    with pytest.raises(LeaseLost):
        await stream.read_new(10)
    await stream.claim(lease(5))
    assert events(await stream.read_new(10)) == [b"e2"]


async def test_waiting_ends_when_an_entry_is_added_and_takes_nothing(backend: Backend) -> None:
    stream = await claimed(backend)
    await add(backend, 1)
    await stream.read_new(10)
    waiting = asyncio.create_task(stream.wait(30))
    await asyncio.sleep(0)
    await add(backend, 1, first=1)
    async with asyncio.timeout(10):
        assert await waiting is True
    assert events(await stream.read_new(10)) == [b"e1"]


async def test_waiting_for_nothing_ends_after_its_time(backend: Backend) -> None:
    stream = await claimed(backend)
    await add(backend, 1)
    await stream.read_new(10)
    async with asyncio.timeout(10):
        assert await stream.wait(0.05) is False


async def test_waiting_does_not_return_for_entries_read_by_an_earlier_holder(
    backend: Backend,
) -> None:
    last = await claimed(backend, epoch=1)
    added = await add(backend, 2)
    await last.read_new(10)
    await last.acknowledge(added)
    following = await claimed(backend, epoch=2)
    assert await following.wait(0.05) is False


async def test_a_wait_that_was_cancelled_leaves_the_next_one_whole(backend: Backend) -> None:
    stream = await claimed(backend)
    for number in range(5):
        waiting = asyncio.create_task(stream.wait(30))
        await asyncio.sleep(0.002 * number)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await add(backend, 1, first=number)
        assert await stream.wait(10) is True
        assert events(await stream.read_new(10)) == [b"e%d" % number]


@pytest.mark.parametrize("kind", ["new", "pending"])
async def test_a_cancelled_read_never_shifts_replies(backend: Backend, kind: str) -> None:
    """Cancel a read after each number of turns of the event loop. What it took stays
    pending, and each later read still gets its own reply."""
    stream = await claimed(backend)
    added: list[bytes] = []
    for turns in range(40):
        added += await add(backend, 1, first=turns)
        read = stream.read_new(1) if kind == "new" else stream.read_pending(b"0", 1)
        task = asyncio.create_task(read)
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await stream.acknowledge([b"1-1"])
        new = await stream.read_new(1_000)
        pending = await stream.read_pending(b"0", 1_000)
        assert ids(pending) == added
        assert ids(new) == added[len(added) - len(new) :]
        assert len(new) <= 1


async def test_a_cancelled_read_leaves_the_fence_up(backend: Backend) -> None:
    older = await claimed(backend, epoch=1)
    for turns in range(0, 40, 3):
        await add(backend, 1)
        task = asyncio.create_task(older.read_new(1))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    await claimed(backend, epoch=2)
    await add(backend, 5)
    for _ in range(3):
        with pytest.raises(LeaseLost):
            await older.read_new(10)


async def test_reads_and_acknowledgements_at_once_keep_their_replies_apart(
    backend: Backend,
) -> None:
    stream = await claimed(backend)
    added = await add(backend, 200)
    seen: list[bytes] = []

    async def read() -> None:
        while entries := await stream.read_new(7):
            seen.extend(ids(entries))
            await stream.acknowledge(ids(entries))

    await asyncio.gather(read(), read(), read(), stream.wait(0.01))
    assert sorted(seen) == sorted(added)
    assert await backend.pending(STREAM) == 0
