"""A `StreamAdmin` over Redis."""

from collections.abc import Mapping
from typing import Any

from goald.adapters.redis.admin import lag, stream_count
from goald.adapters.redis.connect import Client, service_errors
from goald.adapters.redis.events import count_change
from goald.ports.stream_admin import StreamDepth
from goald.redis_keys import GROUP, NEXT_STREAMS


class RedisStreamAdmin:
    """`ports.StreamAdmin` over a client of `connect`, which the caller closes."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def count(self) -> int:
        return await stream_count(self._client)

    async def store_count(self, count: int) -> None:
        await stream_count(self._client, count)

    async def pending_count(self) -> int | None:
        async with service_errors():
            pending = await self._client.get(NEXT_STREAMS)
        return None if pending is None else int(pending)

    async def lag(self) -> Mapping[str, int]:
        return await lag(self._client)

    async def depths(self) -> list[StreamDepth]:
        return [await self._depth(name, behind) for name, behind in (await self.lag()).items()]

    async def is_acknowledged(self, stream: str, entry_id: str) -> bool:
        group = await self._group(stream)
        if group is None or _order(group["last-delivered-id"].decode()) < _order(entry_id):
            return False
        async with service_errors():
            pending = await self._client.xpending_range(stream, GROUP, entry_id, entry_id, 1)
        return not pending

    async def begin_change(self, count: int) -> None:
        await count_change.begin(self._client, count)

    async def cancel_change(self, count: int) -> None:
        await count_change.cancel(self._client, count)

    async def change_count(self, before: int, count: int) -> bool:
        return await count_change.change(self._client, before, count)

    async def _depth(self, name: str, behind: int) -> StreamDepth:
        group = await self._group(name)
        async with service_errors():
            length = int(await self._client.xlen(name))
        pending = 0 if group is None else int(group["pending"])
        return StreamDepth(name, length, pending, behind)

    async def _group(self, stream: str) -> Mapping[str, Any] | None:
        """goald's consumer group of a stream; None if either does not exist."""
        async with service_errors():
            if not await self._client.exists(stream):
                return None
            groups = await self._client.xinfo_groups(stream)
        return next((group for group in groups if group["name"] == GROUP.encode()), None)


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)
