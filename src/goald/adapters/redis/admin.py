"""How many streams there are, how far behind goald is, and whether Redis is set up to keep
what it is given (D10)."""

from typing import Any

from goald.adapters.redis.connect import Client, service_errors
from goald.domain.errors import StreamCountMismatch
from goald.domain.slots import SLOTS
from goald.domain.streams import DEFAULT_STREAMS
from goald.redis_keys import GROUP, STREAM_COUNT, event_stream

_PAGE = 1_000


async def stream_count(client: Client, wanted: int | None = None) -> int:
    """How many event streams there are.

    With `wanted`, it is set where Redis holds none yet, and StreamCountMismatch is raised
    where Redis holds another. Without, a count that was never set is the default, and
    nothing is written.
    """
    async with service_errors():
        if wanted is not None:
            await client.set(STREAM_COUNT, wanted, nx=True)
        held = await client.get(STREAM_COUNT)
    if held is None:
        return DEFAULT_STREAMS
    if wanted is not None and int(held) != wanted:
        raise StreamCountMismatch(
            f"GOALD_STREAMS is {wanted}, but Redis holds {int(held)} event streams; "
            f"set GOALD_STREAMS={int(held)}"
        )
    return int(held)


async def lag(client: Client) -> dict[str, int]:
    """Of each event stream, how many entries are not yet acknowledged: those delivered and
    pending, and those never delivered. Exact, unless somebody deletes entries meanwhile.

    Of streams beyond their number, which nobody reads, those that hold such entries.

    Redis before 7 does not count what was not delivered, and no Redis does after entries
    were deleted: then they are counted here, page by page.
    """
    count = await stream_count(client)
    found = {name: await _lag_of(client, name) for name in map(event_stream, range(count))}
    beyond = [event_stream(partition) for partition in range(count, SLOTS)]
    async with service_errors():
        strays = bool(beyond) and await client.exists(*beyond)
    if strays:
        found |= {name: behind for name in beyond if (behind := await _lag_of(client, name))}
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
    # The server's count has been wrong in some releases; that there is none at all must
    # not be, for 0 says that everything sent has taken effect.
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
