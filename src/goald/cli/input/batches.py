"""Something that blocks, read on a thread and handed to an event loop in batches."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

MOST = 5_000


class Batches(Generic[T]):
    """The items of an iterator that may block, such as the lines of standard input.

    A batch is what has come since the last one: nothing waits for a batch to be full, and at
    most MOST items are read ahead. The thread is a daemon, so an iterator that blocks for
    ever does not keep the program from ending. What the iterator raises is raised here.
    """

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._waiting: list[T] = []
        self._ended = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._arrived = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[list[T]]:
        """Batches in order, none of them empty. To be iterated once."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, args=(loop,), name="reader", daemon=True).start()
        while True:
            await self._arrived.wait()
            with self._changed:
                self._arrived.clear()
                batch, self._waiting = self._waiting, []
                ended, error = self._ended, self._error
                self._changed.notify()
            if batch:
                yield batch
            if ended:
                if error is not None:
                    raise error
                return

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            for item in self._items:
                with self._changed:
                    self._changed.wait_for(lambda: len(self._waiting) < MOST)
                    self._waiting.append(item)
                    if len(self._waiting) == 1:
                        self._tell(loop)
        except BaseException as error:  # raised again in the loop
            self._error = error
        with self._changed:
            self._ended = True
            self._tell(loop)

    def _tell(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.call_soon_threadsafe(self._arrived.set)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return
