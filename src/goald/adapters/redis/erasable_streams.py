"""Entries of deleted contacts, found and deleted in the streams."""

from collections.abc import Sequence

from goald.adapters.redis.connect import Client, connect, service_errors
from goald.adapters.redis.dead_letters.store import remove
from goald.domain.records.erasure import ErasableEntry, PendingErasures
from goald.redis_keys import DEAD, ERASURES, FIELD


class RedisErasableStreams:
    """`runtime.jobs.erasure.ErasableStreams` over Redis. Connects when first used. Bound to one
    event loop."""

    def __init__(self, url: str) -> None:
        self._client: Client = connect(url)

    async def now(self) -> int:
        async with service_errors():
            seconds, microseconds = await self._client.time()
        return int(seconds) * 1_000_000 + int(microseconds)

    async def length(self, stream: str) -> int:
        async with service_errors():
            return int(await self._client.xlen(stream))

    async def page(self, stream: str, after: str | None, count: int) -> Sequence[ErasableEntry]:
        async with service_errors():
            entries = await self._client.xrange(
                stream, min=f"({after}" if after else "-", count=count
            )
        return [
            ErasableEntry(
                entry_id.decode(),
                int(entry_id.split(b"-")[0]) * 1_000,
                fields.get(FIELD.encode(), b""),
            )
            for entry_id, fields in entries
        ]

    async def delete(self, stream: str, ids: Sequence[str]) -> int:
        if not ids:
            return 0
        if stream == DEAD:
            return await remove(self._client, ids)
        async with service_errors():
            return int(await self._client.xdel(stream, *ids))

    async def report(self, pending: PendingErasures) -> None:
        state = {
            "pending": pending.count,
            "oldest_s": round(pending.oldest_s, 3),
            "in_tables": pending.in_tables,
            "in_tables_oldest_s": round(pending.in_tables_oldest_s, 3),
        }
        async with service_errors():
            await self._client.hset(ERASURES, mapping=state)

    async def close(self) -> None:
        await self._client.aclose()
