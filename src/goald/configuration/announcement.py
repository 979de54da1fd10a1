"""What tells of a change, published right after its commit (E10)."""

import asyncio

import structlog

from goald.configuration.ports import Configurations, NoticePublisher
from goald.domain.configuration.workflows import Changed
from goald.domain.errors import ServiceUnavailable
from goald.ports.outbound import Message

PUBLISH_SECONDS = 1.0
"""After which the shards are left to publish it: they look each second."""

_log = structlog.stdlib.get_logger(__name__)


class Announcer:
    """Publishes and marks. Never fails: what it cannot do, the shards do a little later."""

    def __init__(self, configurations: Configurations, outbound: NoticePublisher | None) -> None:
        """`outbound`: None leaves all of it to the shards."""
        self._kept = configurations
        self._outbound = outbound

    async def publish(self, changed: Changed) -> bool:
        """Returns when Redis has taken what tells of a change, or would not; whether it has."""
        rows = changed.announcements
        if self._outbound is None or not rows:
            return False
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                await self._outbound.publish([Message(row.stream, row.payload) for row in rows])
        except (ServiceUnavailable, TimeoutError) as error:
            _leave("publish", error)
            return False
        return True

    async def mark(self, tenant: str, changed: Changed) -> None:
        """Say that it is published. Where that is lost, it is published again."""
        try:
            await self._kept.mark_published(tenant, [row.number for row in changed.announcements])
        except ServiceUnavailable as error:
            _leave("mark", error)

    async def close(self) -> None:
        """Close the connection to Redis."""
        if self._outbound is not None:
            await self._outbound.close()


def _leave(what: str, error: Exception) -> None:
    _log.warning(
        "the shards are left to announce a change of the configuration",
        failed=what,
        error=str(error) or type(error).__name__,
    )
