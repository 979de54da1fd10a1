"""Publication of the messages about a change, right after its commit (E10)."""

import asyncio

import structlog

from goald.configuration.ports import ConfigurationStore, NoticePublisher
from goald.domain.configuration.workflows import CommittedChanges
from goald.domain.errors import ServiceUnavailable
from goald.ports.outbound import Message

PUBLISH_SECONDS = 1.0
"""Timeout of a publication. Shards publish the rest: they check the outbox each second."""

_log = structlog.stdlib.get_logger(__name__)


class ChangeNotifier:
    """Publishes committed messages and marks them as published. Never raises: the shards
    publish the messages that remain."""

    def __init__(self, store: ConfigurationStore, outbound: NoticePublisher | None) -> None:
        """`outbound`: None leaves all messages to the shards."""
        self._store = store
        self._outbound = outbound

    async def publish(self, committed: CommittedChanges) -> bool:
        """Publish the messages of a change. Return whether Redis has all of them; False if
        there is nothing to publish."""
        if self._outbound is None or not committed.notices:
            return False
        messages = [Message(notice.stream, notice.payload) for notice in committed.notices]
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                await self._outbound.publish(messages)
        except (ServiceUnavailable, TimeoutError) as error:
            _log_failure("publish", error)
            return False
        return True

    async def mark(self, tenant: str, committed: CommittedChanges) -> None:
        """Mark the messages as published. If that fails, a shard publishes them again."""
        numbers = [notice.number for notice in committed.notices]
        try:
            await self._store.mark_published(tenant, numbers)
        except ServiceUnavailable as error:
            _log_failure("mark_published", error)

    async def close(self) -> None:
        """Close the connection to Redis."""
        if self._outbound is not None:
            await self._outbound.close()


def _log_failure(operation: str, error: Exception) -> None:
    _log.warning(
        "cannot notify shards of a configuration change; they publish it themselves",
        operation=operation,
        error=str(error) or type(error).__name__,
    )
