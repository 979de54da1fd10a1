"""Collects items that arrive while a call is in flight, and sends them in one further call."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from goald.domain.errors import ServiceUnavailable

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """One call at a time. Bound to the event loop that uses it first."""

    def __init__(self, call: Callable[[Sequence[T]], Awaitable[Sequence[R]]]) -> None:
        """`call` returns an answer for each item, in order. If it raises ServiceUnavailable, the
        items of that call get the error. If it raises another error, each item is sent alone, so
        that an item that is refused does not fail others."""
        self._call = call
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._sender: asyncio.Task[None] | None = None

    async def __call__(self, item: T) -> R:
        """The answer to an item. A cancelled caller's item may be sent all the same."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send())
        return await future

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._send_batch(batch)
        finally:
            self._sender = None

    async def _send_batch(self, batch: Sequence[tuple[T, "asyncio.Future[R]"]]) -> None:
        try:
            answers = await self._call([item for item, _ in batch])
        except Exception as error:  # it belongs to the callers
            if len(batch) == 1 or isinstance(error, ServiceUnavailable):
                _end(batch, error)
                return
            for each in batch:
                await self._send_batch([each])
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)


def _end(batch: Sequence[tuple[T, "asyncio.Future[R]"]], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
