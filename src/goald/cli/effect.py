"""What one event causes: its exit, its notices, or its place among the dead letters."""

from typing import Any, Self

from goald.adapters.redis.connect import Client, service_errors
from goald.cli.follow import StreamEntry, last_id, read
from goald.redis_keys import DEAD, EXITS, GROUP, NOTICES

PAGE = 500


class Effect:
    """Looks for what an event causes, from before it is sent."""

    def __init__(
        self, client: Client, event: dict[str, Any], stream: str, before: dict[str, bytes]
    ) -> None:
        self.stream = stream
        self._client = client
        self._event = event
        self._behind = before.pop(stream)
        self._position = before
        self._entry: str | None = None

    @classmethod
    async def watch(cls, client: Client, event: dict[str, Any], stream: str) -> Self:
        """To be called before the event is sent to `stream`."""
        before = {name: await last_id(client, name) for name in (stream, EXITS, NOTICES, DEAD)}
        return cls(client, event, stream, before)

    def moved(self, stream: str) -> None:
        """It was sent to another stream: the number of streams was changed meanwhile."""
        self.stream, self._behind = stream, b"0-0"

    async def entry_id(self) -> str | None:
        """The id of its entry, once it is sent; None where it was trimmed already."""
        after = self._behind
        while self._entry is None:
            async with service_errors():
                page = await self._client.xrange(self.stream, min=b"(" + after, count=PAGE)
            for entry_id, found in page:
                event = StreamEntry(self.stream, "", {"event": found.get(b"event", b"")}).event()
                if event is not None and _is_it(event, self._event):
                    self._entry = entry_id.decode()
            if not page:
                break
            after = page[-1][0]
        return self._entry

    async def acknowledged(self) -> bool:
        """Whether goald is done with it: then all that it causes is published (D2)."""
        entry = await self.entry_id()
        if entry is None:
            return True
        async with service_errors():
            groups = await self._client.xinfo_groups(self.stream)
            ours = [group for group in groups if group["name"] == GROUP.encode()]
            if not ours or _order(ours[0]["last-delivered-id"].decode()) < _order(entry):
                return False
            pending = await self._client.xpending_range(self.stream, GROUP, entry, entry, 1)
        return not pending

    async def caused(self) -> list[StreamEntry]:
        """What it caused, of what was published since the last call."""
        found: list[StreamEntry] = []
        while page := await read(self._client, self._position, wait_ms=None):
            found += [entry for entry in page if await self._caused(entry)]
        return found

    async def _caused(self, entry: StreamEntry) -> bool:
        if entry.stream == DEAD:
            place = entry.fields.get("stream", b"").decode(), entry.fields.get("id", b"").decode()
            return place == (self.stream, await self.entry_id())
        outbound = entry.event()
        if outbound is None or outbound.get("tenantid") != self._event["tenantid"]:
            return False
        data = outbound.get("data")
        data = data if isinstance(data, dict) else {}
        cause, field = (
            (data.get("trigger_event"), "id")
            if entry.stream == EXITS
            else (data.get("metadata"), "event_id")
        )
        if not isinstance(cause, dict):
            return False
        return (cause.get(field), cause.get("source")) == (self._event["id"], self._event["source"])


def _is_it(event: dict[str, Any], sent: dict[str, Any]) -> bool:
    names = ("tenantid", "id", "source")
    return all(event.get(name) == sent[name] for name in names)


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)
