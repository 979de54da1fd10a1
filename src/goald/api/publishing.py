"""Publishing to the event streams while a caller waits for it, the tenants in turn."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary

from goald.api.ports import EventSink
from goald.api.problems import TooManyRequests
from goald.domain.errors import ServiceUnavailable
from goald.pipeline.intake import AcceptedEvent

PATIENCE_S: Final = 2.0
"""How long Redis may fail, or not answer, before the caller is told to come again."""
UNIT_BYTES: Final = 1 << 10
"""An event counts as one for each of these that it has or begins."""
SHARE_UNITS: Final = 1_000
"""What one tenant has on its way to Redis at most, or one request where that is more. Others
wait behind so much of each tenant, and no more (D8)."""
LINE: Final = 64
"""Requests of one tenant that wait for others of its own: 64 MiB at most."""


def units(taken: Sequence[AcceptedEvent]) -> int:
    """What these events count as, for the tenant's quota and its share."""
    return sum(-(-len(event.payload) // UNIT_BYTES) for event in taken)


class Publishing:
    """Sends the events of every tenant over one sink, each tenant a bounded share at a time.

    Requests of one tenant come in their order; nobody waits behind those that are in another's
    line. Bound to the event loop that uses it first.
    """

    def __init__(self, sink: EventSink) -> None:
        """`sink` is the caller's to close, and nobody else may publish to it."""
        self._sink = sink
        self._shares: WeakValueDictionary[str, _Share] = WeakValueDictionary()

    async def publish(self, tenant: str, taken: Sequence[AcceptedEvent]) -> None:
        """Return when Redis has all of these, in their order.

        Raises TooManyRequests, sending nothing, where LINE requests of the tenant wait already.
        Raises ServiceUnavailable after PATIENCE_S: some may be there, or come to be, and sending
        the same events again changes nothing (D1). While Redis fails nothing is taken into
        memory (D6).
        """
        share = self._shares.setdefault(tenant, _Share())
        try:
            async with asyncio.timeout(PATIENCE_S), share.part(units(taken)):
                await self._sink.flush(patience_s=0)
                for event in taken:
                    await self._sink.publish_encoded(tenant, event.contact, event.payload)
                await self._sink.flush(patience_s=PATIENCE_S)
        except TimeoutError:
            raise ServiceUnavailable(f"Redis took no events within {PATIENCE_S:g} s") from None


class _Share:
    """What of one tenant is on its way, and its line."""

    def __init__(self) -> None:
        self._sending = 0
        self._waiting = 0
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def part(self, count: int) -> AsyncIterator[None]:
        """Hold so many units of the share, once those that came before have theirs."""
        if self._waiting >= LINE:
            raise TooManyRequests(f"{LINE} requests of this tenant wait to send events already")
        self._waiting += 1
        try:
            # Only the first in line looks whether there is room: a small request never
            # overtakes a large one for ever.
            async with self._turn:
                while self._sending and self._sending + count > SHARE_UNITS:
                    self._freed.clear()
                    await self._freed.wait()
                self._sending += count
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._sending -= count
            self._freed.set()
