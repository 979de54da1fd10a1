"""The sources that were opened a moment ago, so that most deliveries need no query."""

import asyncio
from collections import OrderedDict
from typing import Final, TypeAlias

from goald.domain.credentials.sources import StoredSource, digest_of
from goald.ports.clock import Clock
from goald.ports.sources.store import SourceStore

KEPT_S: Final = 1.0
"""How long a source is used before it is read again: a change takes effect within this time in
other API processes, and immediately in the process that made it."""
MAX_KEPT: Final = 1_024
_Place: TypeAlias = tuple[str, str, bytes]
"""Tenant, name and digest of the key."""


class OpenedSources:
    """Opens sources for deliveries. Keeps a source only if the key was right, so an unknown source
    and a wrong key take the same work each time. Bound to one event loop."""

    def __init__(self, store: SourceStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._kept: OrderedDict[_Place, tuple[float, StoredSource]] = OrderedDict()
        """With the time until which a source is used."""
        self._reading: dict[_Place, asyncio.Task[StoredSource | None]] = {}
        """The kept sources that are being read again: deliveries that arrive meanwhile wait for the
        same query."""

    async def open(self, tenant: str, name: str, key: str, now_us: int) -> StoredSource | None:
        """See `SourceStore.open`. May return the state of up to KEPT_S ago."""
        place = tenant, name, digest_of(key)
        until, stored = self._kept.get(place, (0.0, None))
        if (
            stored is not None
            and self._clock.monotonic() < until
            and stored.keys.accepts(key, now_us)
        ):
            return stored
        if stored is None:
            return await self._read(place, key, now_us)
        reading = self._reading.get(place)
        if reading is None:
            reading = asyncio.create_task(self._read(place, key, now_us))
            self._reading[place] = reading
            reading.add_done_callback(lambda task: self._end_reading(place, task))
        found = await asyncio.shield(reading)  # a caller that is cancelled does not cancel others
        return found if found is not None and found.keys.accepts(key, now_us) else None

    async def _read(self, place: _Place, key: str, now_us: int) -> StoredSource | None:
        tenant, name, _ = place
        read_at = self._clock.monotonic()
        found = await self._store.open(tenant, name, key, now_us)
        if found is None:
            self._kept.pop(place, None)
            return None
        self._kept[place] = read_at + KEPT_S, found
        self._kept.move_to_end(place)
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return found

    def _end_reading(self, place: _Place, task: asyncio.Task[StoredSource | None]) -> None:
        if self._reading.get(place) is task:
            del self._reading[place]
        if not task.cancelled():
            task.exception()  # its callers raise it, unless all were cancelled

    def forget(self, tenant: str, name: str) -> None:
        """Read a source again at its next delivery, because it was changed."""
        for place in [place for place in self._kept if place[:2] == (tenant, name)]:
            del self._kept[place]
            self._reading.pop(place, None)
