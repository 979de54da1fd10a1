"""Finds the effect of one event: its exit, its notices, or its dead letter."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from goald.client.tail import BEGINNING, StreamCursor, TailedEntry
from goald.operations.events import decoded
from goald.ports.stream_admin import StreamAdmin
from goald.redis_keys import DEAD, EXITS, NOTICES

POLL_S = 0.05


class EventEffect:
    """Watches the outbound streams for the effect of one event. Call `begin` before the event is
    sent. Every method may raise ServiceUnavailable."""

    def __init__(
        self,
        event: Mapping[str, Any],
        admin: StreamAdmin,
        event_stream: StreamCursor,
        outbound: StreamCursor,
    ) -> None:
        """`event_stream` and `outbound`: two cursors without positions."""
        self._event = event
        self._admin = admin
        self._event_stream = event_stream
        self._outbound = outbound
        self._stream = ""
        self._entry: str | None = None

    @property
    def stream(self) -> str:
        """The event stream that the event goes to."""
        return self._stream

    @property
    def event_type(self) -> str:
        """The type of the event."""
        return str(self._event["type"])

    async def begin(self, stream: str) -> None:
        """Record the current end of every stream. The event will be sent to `stream`."""
        self._stream = stream
        await self._event_stream.move_to_end(stream)
        await self._outbound.move_to_end(EXITS, NOTICES, DEAD)

    def move(self, stream: str) -> None:
        """The event was sent to another stream, because the number of streams changed."""
        self._event_stream.leave(self._stream)
        self._event_stream.move(stream, BEGINNING)
        self._stream = stream

    async def entry_id(self) -> str | None:
        """The id of the event's entry, after it was sent. None if the entry is trimmed."""
        while self._entry is None:
            page = await self._event_stream.read()
            self._entry = next((entry.id for entry in page if self._is_event(entry)), None)
            if not page:
                break
        return self._entry

    async def outcome(self, timeout_s: float) -> AsyncIterator[TailedEntry]:
        """Yield the effects of the event until goald has acknowledged or dead-lettered it.
        Raises TimeoutError if neither happens within `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while True:
            # In this order: an event is acknowledged after its effects are published (D2).
            acknowledged = await self._is_acknowledged()
            async for entry in self._caused():
                yield entry
                if entry.stream == DEAD:
                    return
            if acknowledged:
                return
            if time.monotonic() >= deadline:
                raise TimeoutError
            await asyncio.sleep(POLL_S)

    async def _is_acknowledged(self) -> bool:
        entry_id = await self.entry_id()
        return entry_id is None or await self._admin.is_acknowledged(self._stream, entry_id)

    async def _caused(self) -> AsyncIterator[TailedEntry]:
        while page := await self._outbound.read():
            for entry in page:
                if self._is_caused(entry):
                    yield entry

    def _is_event(self, entry: TailedEntry) -> bool:
        event = decoded(entry.payload)
        names = ("tenantid", "id", "source")
        return event is not None and all(event.get(name) == self._event[name] for name in names)

    def _is_caused(self, entry: TailedEntry) -> bool:
        if entry.stream == DEAD:
            origin = [entry.fields.get(name, b"").decode() for name in ("stream", "id")]
            return origin == [self._stream, self._entry]
        outbound = decoded(entry.payload)
        if outbound is None or outbound.get("tenantid") != self._event["tenantid"]:
            return False
        data = outbound.get("data")
        data = data if isinstance(data, dict) else {}
        cause, id_name = (
            (data.get("trigger_event"), "id")
            if entry.stream == EXITS
            else (data.get("metadata"), "event_id")
        )
        if not isinstance(cause, dict):
            return False
        expected = self._event["id"], self._event["source"]
        return (cause.get(id_name), cause.get("source")) == expected
