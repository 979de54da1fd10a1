"""What tells of a change, published right after its commit (E10)."""

import asyncio
import logging

from goald.configuration.ports import Configurations, Outbound
from goald.domain.errors import ServiceUnavailable
from goald.domain.workflows import Changed
from goald.ports import Message

PUBLISH_SECONDS = 1.0
"""After which the shards are left to publish it: they look each second."""

_log = logging.getLogger(__name__)


class Announcer:
    """Publishes and marks. Never fails: what it cannot do, the shards do a little later."""

    def __init__(self, configurations: Configurations, outbound: Outbound | None) -> None:
        """`outbound`: None leaves all of it to the shards."""
        self._kept = configurations
        self._outbound = outbound

    async def announce(self, tenant: str, changed: Changed) -> None:
        """Returns when Redis has taken it, or would not."""
        rows = changed.announcements
        if self._outbound is None or not rows:
            return
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                await self._outbound.publish([Message(row.stream, row.payload) for row in rows])
            await self._kept.mark_published(tenant, [row.number for row in rows])
        except (ServiceUnavailable, TimeoutError) as error:
            _log.warning(
                "a change of the configuration is left to the shards to publish: %s",
                str(error) or type(error).__name__,
            )

    async def close(self) -> None:
        """Close the connection to Redis."""
        if self._outbound is not None:
            await self._outbound.close()
