"""Iterates over a blocking source on a thread, for an event loop."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_READ_AHEAD = 5_000


class Batches(Generic[T]):
    """The items of a blocking iterator, such as the lines of standard input, in batches.

    A batch holds the items that arrived since the previous one; it does not wait to be full. At
    most MAX_READ_AHEAD items are read ahead. The thread is a daemon thread, so an iterator that
    blocks forever does not keep the program alive. Errors of the iterator are raised by the batch
    iteration, after the items before them.
    """

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._waiting: list[T] = []
        self._ended = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._arrived = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[list[T]]:
        """Yield batches in order, none of them empty. Iterate once only."""
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
                    self._changed.wait_for(lambda: len(self._waiting) < MAX_READ_AHEAD)
                    self._waiting.append(item)
                    if len(self._waiting) == 1:
                        self._wake(loop)
        except BaseException as error:  # raised again in the loop
            self._error = error
        with self._changed:
            self._ended = True
            self._wake(loop)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.call_soon_threadsafe(self._arrived.set)
        except RuntimeError:  # The loop is closed.
            return
