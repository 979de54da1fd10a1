"""Isolation: exclusive delivery of an event that may kill its shard (D4)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from goald.domain.errors import ServiceUnavailable


class Isolation:
    """Controls what a shard processes at the same time. Exclusive work has the shard to itself."""

    def __init__(self) -> None:
        self._active = 0
        self._has_exclusive = False
        self._finished = asyncio.Event()

    @asynccontextmanager
    async def work(self, *, exclusive: bool) -> AsyncIterator[None]:
        """Run the `with` block as work at this shard.

        Exclusive work first waits until the active work has finished. While it waits or runs,
        other work is refused with ServiceUnavailable, and can be sent again.
        """
        if self._has_exclusive:
            raise ServiceUnavailable("the shard is processing an event exclusively")
        self._has_exclusive = exclusive
        try:
            while exclusive and self._active:
                self._finished.clear()
                await self._finished.wait()
            self._active += 1
            try:
                yield
            finally:
                self._active -= 1
                self._finished.set()
        finally:
            if exclusive:
                self._has_exclusive = False
