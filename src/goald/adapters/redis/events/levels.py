"""How much memory the streams take (D8)."""

from typing import Any, Final

from redis.exceptions import ResponseError

from goald.adapters.redis.admin import stream_count
from goald.adapters.redis.connect import Client, connect, service_errors
from goald.ports.stream_admin import StreamLevel, StreamLevels
from goald.redis_keys import DEAD, EXITS, GROUP, NOTICES, event_stream
from goald.redis_wire import is_unavailable

SAMPLES: Final = 200
"""Nodes of a stream whose size is read. Reading all of a stream of 300 MiB blocks Redis for 80 ms,
200 of them for less than 1 ms."""
_OTHERS: Final = (EXITS, NOTICES, DEAD)  # in this order

_LEVEL = """
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
local bytes = redis.pcall('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', ARGV[1])
if type(bytes) ~= 'number' then
  bytes = 0
  local page = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', ARGV[2])
  for _, entry in ipairs(page) do
    for _, text in ipairs(entry[2]) do bytes = bytes + #text end
  end
  if #page > 0 then bytes = math.floor(bytes / #page * redis.call('XLEN', KEYS[1])) end
end
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local read = false
for _, flat in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = {}
  for i = 1, #flat, 2 do group[flat[i]] = flat[i + 1] end
  if group['name'] == ARGV[3] then read = group['last-delivered-id'] end
end
return {bytes, first and first[1] or false, last and last[1] or false, read,
  redis.call('XLEN', KEYS[1])}
"""
"""Returns the bytes, the ids of the first and the last entry, the position of goald's group (which
acknowledges what it passes, decision 10), and the number of entries. A login that may not call
MEMORY gets an estimate from the latest entries."""
_ESTIMATED_ENTRIES: Final = 100


class RedisStreamLevels:
    """A `StreamLevelReader`. Connects on first use; bound to one event loop."""

    def __init__(self, url: str) -> None:
        self._client: Client = connect(url)

    async def read(self) -> StreamLevels:
        names = [event_stream(partition) for partition in range(await stream_count(self._client))]
        async with service_errors(), self._client.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.info("memory")
            for name in (*names, *_OTHERS):
                pipe.eval(_LEVEL, 1, name, SAMPLES, _ESTIMATED_ENTRIES, GROUP)
            (seconds, micros), memory, *found = await pipe.execute(raise_on_error=False)
            _raise_if_unavailable(memory, *found)
        at_us = seconds * 1_000_000 + micros
        levels = [
            _level(name, reply, at_us)
            for name, reply in zip((*names, *_OTHERS), found, strict=True)
        ]
        info = {} if isinstance(memory, Exception) else memory
        return StreamLevels(
            at_us=at_us,
            events=levels[: len(names)],
            outbound=levels[len(names) : -1],
            dead=levels[-1],
            used_bytes=int(info.get("used_memory", 0)),
            max_bytes=int(info.get("maxmemory", 0)) or None,
        )

    async def close(self) -> None:
        await self._client.aclose()


def _raise_if_unavailable(*replies: Any) -> None:
    for reply in replies:
        if isinstance(reply, Exception) and (
            not isinstance(reply, ResponseError) or is_unavailable(reply)
        ):
            raise reply


def _level(name: str, reply: Any, at_us: int) -> StreamLevel:
    """The level in a reply. A missing stream is empty, and so is a key of another type."""
    if reply is None or isinstance(reply, Exception):
        return StreamLevel(name, 0, at_us, at_us)
    size, first, last, position, length = reply
    if last is None or last == position:
        acknowledged_us = at_us
    else:
        acknowledged_us = _time_us(position) if position else 0
    oldest_us = _time_us(first) if first else at_us
    return StreamLevel(name, int(size), oldest_us, acknowledged_us, int(length))


def _time_us(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[0]) * 1_000
