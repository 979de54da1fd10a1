"""How many streams there are, how far behind goald is, and whether Redis is set up to keep
what it is given (3.2, 3.5, D10)."""

from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from goald.adapters.redis.connect import Client, service_errors
from goald.domain.errors import StreamCountMismatch
from goald.domain.slots import SLOTS
from goald.domain.streams import DEFAULT_STREAMS, GROUP, STREAM_COUNT, event_stream

_PAGE = 1_000
_OLDEST = (6, 2)


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


@dataclass(frozen=True, slots=True)
class ServerCheck:
    """One line of `goald doctor`."""

    name: str
    ok: bool | None
    """None where the server does not tell."""
    found: str
    advice: str
    """What to do about it, or "" where nothing."""


async def check_server(client: Client) -> list[ServerCheck]:
    """Whether this server keeps what it is given. What it does not tell is "unknown"."""
    async with service_errors():
        info = await client.info()
        fsync = await _setting(client, "appendfsync")
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version") or info.get("redis_version") or "unknown")
    role = str(info.get("role", "unknown"))
    append_only = {1: "yes", 0: "no"}.get(info.get("aof_enabled"), "unknown")
    policy = str(info.get("maxmemory_policy", "unknown"))
    return [
        _check(
            "version", f"{name} {version}", _is_recent(version), "use Redis 6.2 or newer, or Valkey"
        ),
        _check("role", role, role == "master", "give goald the primary's URL"),
        _check("append-only file", append_only, append_only == "yes", "set appendonly yes"),
        _check(
            "appendfsync",
            fsync,
            fsync == "always",
            "set appendfsync always: else a crash may lose what was sent in the last second",
        ),
        _check(
            "maxmemory-policy",
            policy,
            policy == "noeviction",
            "set maxmemory-policy noeviction: else streams may be thrown away",
        ),
    ]


def _check(name: str, found: str, ok: bool, advice: str) -> ServerCheck:
    if found.endswith("unknown"):
        return ServerCheck(name, None, found, advice)
    return ServerCheck(name, ok, found, "" if ok else advice)


def _is_recent(version: str) -> bool:
    parts = version.split(".")[:2]
    return all(part.isdigit() for part in parts) and tuple(map(int, parts)) >= _OLDEST


async def _setting(client: Client, name: str) -> str:
    try:
        held = await client.config_get(name)
    except ResponseError:  # CONFIG is forbidden, as it is on most hosted servers.
        return "unknown"
    return str(held.get(name, "unknown"))
