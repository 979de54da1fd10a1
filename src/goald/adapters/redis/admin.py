"""The number of event streams, and the lag of each."""

from typing import Any

from goald.adapters.redis.connect import Client, service_errors
from goald.domain.errors import StreamCountMismatch
from goald.domain.slots import SLOTS
from goald.domain.streams import DEFAULT_STREAMS
from goald.redis_keys import GROUP, STREAM_COUNT, event_stream

_PAGE = 1_000


async def stream_count(client: Client, desired: int | None = None) -> int:
    """The number of event streams.

    With `desired`, stores this number if Redis holds none, and raises StreamCountMismatch if Redis
    holds another. Without it, writes nothing and returns the default if Redis holds none.
    """
    async with service_errors():
        if desired is not None:
            await client.set(STREAM_COUNT, desired, nx=True)
        current = await client.get(STREAM_COUNT)
    if current is None:
        return DEFAULT_STREAMS
    if desired is not None and int(current) != desired:
        raise StreamCountMismatch(
            f"GOALD_STREAMS is {desired}, but Redis holds {int(current)} event streams; "
            f"set GOALD_STREAMS={int(current)}"
        )
    return int(current)


async def lag(client: Client) -> dict[str, int]:
    """The number of unacknowledged entries of each event stream, pending or never delivered.
    Exact, unless entries are deleted during the call.

    Streams unread the stream count, which goald does not read, are included if they have
    unacknowledged entries.

    Redis before 7 does not report the number of undelivered entries, and no version reports it
    after a deletion. The call then counts them page by page.
    """
    count = await stream_count(client)
    found = {name: await _lag_of(client, name) for name in map(event_stream, range(count))}
    unread = [event_stream(partition) for partition in range(count, SLOTS)]
    async with service_errors():
        has_unread = bool(unread) and await client.exists(*unread)
    if has_unread:
        found |= {name: behind for name in unread if (behind := await _lag_of(client, name))}
    return found


async def _lag_of(client: Client, stream: str) -> int:
    async with service_errors(), client.pipeline(transaction=True) as pipe:
        pipe.exists(stream)
        pipe.xlen(stream)
        pipe.xinfo_groups(stream)
        exists, length, groups = await pipe.execute(raise_on_error=False)
        if not exists:
            return 0
        if isinstance(groups, Exception):
            raise groups
    for group in groups:
        if group["name"] == GROUP.encode():
            return int(group["pending"]) + await _undelivered(client, stream, group)
    return int(length)


async def _undelivered(client: Client, stream: str, group: dict[str, Any]) -> int:
    after = group["last-delivered-id"]
    # Some releases of Redis report a wrong lag. 0 means that every sent event has taken effect,
    # so it is verified by a read.
    if not await _page_after(client, stream, after, 1):
        return 0
    if group.get("lag"):
        return int(group["lag"])
    count = 0
    while page := await _page_after(client, stream, after, _PAGE):
        count += len(page)
        after = page[-1][0]
    return count


async def _page_after(client: Client, stream: str, after: bytes, count: int) -> list[Any]:
    async with service_errors():
        return list(await client.xrange(stream, min=b"(" + after, count=count))
