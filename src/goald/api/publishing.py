"""Publishing to the event streams while a caller waits for it."""

import asyncio
from collections.abc import Sequence
from typing import Final

from goald.api.ports import EventSink
from goald.domain.errors import ServiceUnavailable
from goald.pipeline.intake import TakenEvent

PATIENCE_S: Final = 2.0
"""How long Redis may fail, or not answer, before the caller is told to come again."""


async def publish(events: EventSink, tenant: str, taken: Sequence[TakenEvent]) -> None:
    """Return when Redis has all of these, in their order.

    Raises ServiceUnavailable otherwise: some may be there, or come to be, and sending the same
    events again changes nothing (D1). While Redis fails nothing is taken into memory (D6).
    """
    try:
        async with asyncio.timeout(PATIENCE_S):
            await events.flush(patience_s=0)
            for event in taken:
                await events.publish_encoded(tenant, event.contact, event.payload)
            await events.flush(patience_s=PATIENCE_S)
    except TimeoutError:
        raise ServiceUnavailable(f"Redis took no events within {PATIENCE_S:g} s") from None
