"""Sends one event and finds its effect."""

from collections.abc import Mapping
from typing import Any

from goald.client import Publisher
from goald.domain.streams import partition_of
from goald.operations.effect import EventEffect
from goald.ports.stream_admin import StreamAdmin
from goald.redis_keys import event_stream


class EventSender:
    """Sends one event."""

    def __init__(self, publisher: Publisher, admin: StreamAdmin, effect: EventEffect) -> None:
        self._publisher = publisher
        self._admin = admin
        self._effect = effect

    async def send(self, event: Mapping[str, Any]) -> EventEffect:
        """Send the event and return when Redis has stored it. The result finds the position
        and the effects of the event. Raises ServiceUnavailable."""
        await self._effect.begin(await self._stream_of(event))
        async with self._publisher:
            await self._publisher.publish(event)
        stream = await self._stream_of(event)
        if stream != self._effect.stream:
            self._effect.move(stream)
        return self._effect

    async def _stream_of(self, event: Mapping[str, Any]) -> str:
        contact = event["data"]["contact_id"]
        return event_stream(partition_of(event["tenantid"], contact, await self._admin.count()))
