"""The latest deliveries of each source, in Redis."""

import asyncio
import hashlib
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, TypeAlias

import orjson
import structlog
from redis.exceptions import RedisError

from goald.adapters.redis.connect import Client, connect, service_errors
from goald.domain.errors import ServiceUnavailable
from goald.domain.records.deliveries import DeliveredEvent, DeliveryRecord
from goald.ports.sources.deliveries import MAX_KEPT
from goald.redis_keys import DELIVERIES

MAX_BYTES: Final = 2 << 10
"""Bytes of a record: its last events are left out beyond that. A tenant's deliveries take at most
40 MiB (100 sources, 200 records each)."""
KEPT_S: Final = 7 * 86_400
_MAX_BUFFERED: Final = 4_096
"""Records that wait to be written. Further ones are lost."""
_PAUSE_S: Final = 0.25
"""The time between two writes, so that many deliveries cause few calls, and records that more than
MAX_KEPT others follow are not even encoded."""

_ADD: Final = """
for i = 2, #ARGV do
  redis.call('XADD', KEYS[1], 'MAXLEN', '=', '100', '*', 'r', ARGV[i])
end
local before = redis.call('TIME')[1] - ARGV[1]
redis.call('XTRIM', KEYS[1], 'MINID', '=', string.format('%d000', before))
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
"""
"""Appends records, and deletes those beyond the bound and those that were kept long enough."""

_Place: TypeAlias = tuple[str, str, bool]
"""Tenant, source, and whether its records are verified."""

_log = structlog.stdlib.get_logger(__name__)


class RedisDeliveries:
    """`ports.DeliveryLog`. Records are written in the background, many at a time. A record may name
    a contact, so it is deleted after `kept_seconds` at the latest, even if no other follows. Bound
    to one event loop."""

    def __init__(self, url: str, *, kept_seconds: float = KEPT_S) -> None:
        """`kept_seconds`: at most KEPT_S count. Does not connect."""
        self._client: Client = connect(url)
        # An entry is deleted when the next one is added or when its stream expires, so it lives up
        # to twice as long as the stream without additions.
        self._kept_s = max(1, int(min(kept_seconds, KEPT_S) / 2))
        self._buffer: dict[_Place, deque[DeliveryRecord]] = {}
        """The last MAX_KEPT of each."""
        self._buffered = 0
        self._writing: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._has_failed = False

    def add(self, tenant: str, source: str, record: DeliveryRecord) -> None:
        if self._buffered >= _MAX_BUFFERED:
            return
        place = tenant, source, record.is_verified
        records = self._buffer.get(place)
        if records is None:
            records = self._buffer[place] = deque(maxlen=MAX_KEPT)
        self._buffered += len(records) < MAX_KEPT
        records.append(record)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())

    async def latest(self, tenant: str, source: str, *, verified: bool) -> Sequence[DeliveryRecord]:
        await self._flush()
        async with service_errors():
            entries = await self._client.xrevrange(_key(tenant, source, verified), count=MAX_KEPT)
        return [_decoded(fields[b"r"]) for _, fields in entries]

    async def clear(self, tenant: str, source: str) -> None:
        for verified in (True, False):
            self._buffered -= len(self._buffer.pop((tenant, source, verified), ()))
        keys = [_key(tenant, source, verified) for verified in (True, False)]
        async with self._turn, service_errors():
            await self._client.unlink(*keys)

    async def close(self) -> None:
        """Write the buffered records, and close the connection."""
        if self._writing is not None:
            self._writing.cancel()
            with suppress(asyncio.CancelledError):
                await self._writing
        await self._flush()
        await self._client.aclose()

    async def _write_all(self) -> None:
        try:
            while self._buffer:
                await asyncio.sleep(_PAUSE_S)
                await self._flush()
        finally:
            self._writing = None

    async def _flush(self) -> None:
        """Write the buffered records. Records that Redis refuses are lost: they only inform."""
        async with self._turn:
            buffer, self._buffer, self._buffered = self._buffer, {}, 0
            if not buffer:
                return
            try:
                async with service_errors(), self._client.pipeline(transaction=False) as pipe:
                    for place, records in buffer.items():
                        pipe.eval(_ADD, 1, _key(*place), self._kept_s, *map(_encoded, records))
                    await pipe.execute()
            except (ServiceUnavailable, RedisError) as error:
                if not self._has_failed:
                    _log.warning("deliveries of sources are not recorded", error=str(error))
                self._has_failed = True
            else:
                self._has_failed = False


def _key(tenant: str, source: str, verified: bool) -> str:
    """Of fixed length, and another one for every tenant and source (D8)."""
    name = f"{len(tenant)}:{tenant}{source}".encode("utf-8", "surrogatepass")
    return f"{DELIVERIES}{hashlib.sha256(name).hexdigest()}:{'v' if verified else 'u'}"


def _encoded(record: DeliveryRecord) -> bytes:
    text = orjson.dumps(record)
    while len(text) > MAX_BYTES and (record.events or record.notes):
        if record.events:
            record = replace(record, events=record.events[:-1])
        else:
            record = replace(record, notes=record.notes[:-1])
        text = orjson.dumps(record)
    return text


def _decoded(text: bytes) -> DeliveryRecord:
    fields = orjson.loads(text)
    fields["events"] = tuple(DeliveredEvent(**event) for event in fields["events"])
    fields["notes"] = tuple(fields["notes"])
    return DeliveryRecord(**fields)
