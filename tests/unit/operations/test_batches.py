"""A blocking source, read on a thread in batches."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from goald.operations.replay.batches import MAX_READ_AHEAD, Batches


async def test_batches_hold_everything_in_order() -> None:
    found = [number async for batch in Batches(iter(range(20_000))) for number in batch]
    assert found == list(range(20_000))


async def test_items_of_a_slow_source_arrive_before_a_batch_is_full() -> None:
    more = threading.Event()

    def slow() -> Iterator[int]:
        yield 1
        more.wait(30)
        yield 2

    batches = aiter(Batches(slow()))
    assert await asyncio.wait_for(anext(batches), 30) == [1]
    more.set()
    assert await asyncio.wait_for(anext(batches), 30) == [2]


async def test_read_ahead_is_bounded() -> None:
    read_so_far = 0

    def source() -> Iterator[int]:
        nonlocal read_so_far
        for number in range(10 * MAX_READ_AHEAD):
            read_so_far = number + 1
            yield number

    first = True
    async for batch in Batches(source()):
        if first:
            assert read_so_far <= len(batch) + MAX_READ_AHEAD + 1
        first = False


async def test_an_error_of_the_source_is_raised_after_the_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("the disk failed")

    found: list[int] = []

    async def take_all() -> None:
        async for batch in Batches(broken()):
            found.extend(batch)

    with pytest.raises(OSError, match="the disk failed"):
        await take_all()
    assert found == [1]
