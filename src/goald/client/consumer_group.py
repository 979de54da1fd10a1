"""One member of a Redis consumer group that skips message ids that are already processed."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from redis.exceptions import ResponseError

from goald.client.connection import Connection
from goald.redis_keys import PROCESSED

_log = logging.getLogger(__name__)

_BLOCK_MS = 1_000

_FINISH: Final = """
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZADD', KEYS[1], ms, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ms - ARGV[2])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('XACK', KEYS[2], ARGV[4], ARGV[5])
"""
"""Marks the id ARGV[1] of a message as processed and acknowledges its entry. Removes the marks that
are older than ARGV[2] milliseconds, and the oldest beyond ARGV[3]."""


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """How the members of a consumer group share a stream."""

    prefetch: int = 16
    """How many entries a member reads ahead."""
    claim_after_s: float = 60.0
    """An entry that a member has held unacknowledged for this long goes to another member. Set it
    above the longest time that processing takes."""
    remember_s: float = 86_400.0
    """How long the id of a processed message is kept in Redis, to skip repetitions."""
    remember_per_tenant: int = 100_000
    """The ids of how many processed messages of each tenant are kept, the latest ones."""


class Entry(NamedTuple):
    """An entry of the stream. A trimmed entry has no fields."""

    id: bytes
    fields: dict[bytes, bytes] | None


class ConsumerGroup:
    """A member of a consumer group on one stream.

    Every method calls Redis without a timeout and raises what redis-py raises; after an error,
    call `restart` before the next `fetch`.
    """

    def __init__(
        self,
        redis: Connection,
        stream: str,
        name: str,
        consumer: str,
        settings: DeliverySettings,
        from_start: bool,
    ) -> None:
        """`from_start`: whether a group that does not exist begins with the oldest entry."""
        self.name = name
        self._redis = redis
        self._stream = stream
        self._consumer = consumer
        self._prefetch = settings.prefetch
        self._claim_after_ms = int(settings.claim_after_s * 1_000)
        self._remember_ms = int(settings.remember_s * 1_000)
        self._remember_most = settings.remember_per_tenant
        self._start = "0" if from_start else "$"
        self._exists = False
        self._own_after: bytes | None = b"0"
        self._claim_from = b"0-0"
        self._claim_at = 0.0

    async def fetch(self) -> list[Entry]:
        """The next entries: first those that this member had read before a restart, then new ones
        and those that another member has held for too long. Empty if there are none for 1 s."""
        if not self._exists:
            await self._create()
        if self._own_after is not None:
            entries = await self._read(self._own_after, block_ms=None)
            self._own_after = entries[-1].id if entries else None
            return entries
        claimed = await self._claim_idle()
        return claimed + await self._read(b">", block_ms=None if claimed else _BLOCK_MS)

    def restart(self) -> None:
        """Start with this member's own entries again: a lost reply may have contained some."""
        self._own_after = b"0"
        self._exists = False

    async def is_processed(self, tenant: str, message_id: str) -> bool:
        """Whether the group has finished a message of the tenant with this id within `remember_s`,
        and fewer than `remember_per_tenant` of this tenant since."""
        return await self._redis.zscore(self._marks(tenant), message_id) is not None

    async def finish(self, tenant: str, entry_id: str, message_id: str) -> None:
        """Mark the message as processed and acknowledge its entry, atomically."""
        bounds = (self._remember_ms, self._remember_most)
        keys = (self._marks(tenant), self._stream)
        await self._redis.eval(_FINISH, 2, *keys, message_id, *bounds, self.name, entry_id)

    async def acknowledge(self, entry_id: bytes) -> None:
        """Acknowledge an entry that is not to be processed."""
        await self._redis.xack(self._stream, self.name, entry_id)

    def _marks(self, tenant: str) -> str:
        # Without colons, so that no two pairs of a group and a tenant have the same key.
        return f"{PROCESSED}{self.name}:{quote(tenant, safe='')}"

    async def _create(self) -> None:
        try:
            await self._redis.xgroup_create(self._stream, self.name, self._start, mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        self._exists = True

    async def _read(self, after: bytes, block_ms: int | None) -> list[Entry]:
        try:
            reply = await self._redis.xreadgroup(
                self.name,
                self._consumer,
                {self._stream: after},
                count=self._prefetch,
                block=block_ms,
            )
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            _log.warning(
                "The consumer group %s is missing; creating it again from the oldest entry",
                self.name,
            )
            self._start = "0"  # Entries added meanwhile must not be skipped.
            self._exists = False
            return []
        return _entries(reply[0][1]) if reply else []

    async def _claim_idle(self) -> list[Entry]:
        """A page of entries that other members have held for too long. Checked periodically."""
        now = asyncio.get_running_loop().time()
        if now < self._claim_at:
            return []
        try:
            reply = await self._redis.xautoclaim(
                self._stream,
                self.name,
                self._consumer,
                self._claim_after_ms,
                self._claim_from,
                count=self._prefetch,
            )
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            return []
        self._claim_from = reply[0]
        if self._claim_from == b"0-0":  # The end of the pending list.
            self._claim_at = now + self._claim_after_ms / 2_000
        return _entries(reply[1])


def _entries(page: list[Any]) -> list[Entry]:
    """The entries of a reply. Redis 6.2 returns deleted ones without id; they are omitted."""
    return [Entry(*entry) for entry in page if entry and entry[0] is not None]
