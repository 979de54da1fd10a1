"""Trimming a stream below what every group has acknowledged (D5)."""

from redis.exceptions import ResponseError

from goald.adapters.redis.connect import Client, connect, service_errors
from goald.domain.errors import NotFound

TRIM_ENTRIES = 10_000
"""Entries in one step: Redis serves nobody else meanwhile."""

_TRIM = """
local function less(one, other)
  local a, b = {string.match(one, '(%d+)-(%d+)')}, {string.match(other, '(%d+)-(%d+)')}
  for i = 1, 2 do
    if a[i] ~= b[i] then return #a[i] < #b[i] or (#a[i] == #b[i] and a[i] < b[i]) end
  end
  return false
end

if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local bound = string.format('%.0f-0', math.max(0, now - ARGV[1]))
local reader_is_there = ARGV[2] == ''
local groups = redis.call('XINFO', 'GROUPS', KEYS[1])
for _, told in ipairs(groups) do
  local group = {}
  for i = 1, #told, 2 do group[told[i]] = told[i + 1] end
  local first = group['last-delivered-id']
  if group['pending'] > 0 then
    local oldest = redis.call('XPENDING', KEYS[1], group['name'])[2]
    if less(oldest, first) then first = oldest end
  end
  if less(first, bound) then bound = first end
  if group['name'] == ARGV[2] then reader_is_there = true end
end
if #groups == 0 or not reader_is_there then return 0 end
return redis.call('XTRIM', KEYS[1], 'MINID', '~', bound, 'LIMIT', ARGV[3])
"""
"""Looks at the groups and trims in one step, so that no group can come to be between. Ids are
compared as text, since Lua's numbers do not hold them. The server's clock is the entries' own.
"~" takes whole nodes of a stream, and leaves up to a node's entries (100) more."""


class RedisTrimmer:
    """`runtime.trimming.Trimmer` over Redis. Connects when first used. Bound to one event
    loop."""

    def __init__(self, url: str) -> None:
        self._client: Client = connect(url)

    async def trim(self, stream: str, keep_seconds: float, reader: str | None) -> int:
        """Take out, oldest first and at most TRIM_ENTRIES, what every group has acknowledged and is
        older than so many seconds; how many. Nothing where there is no stream, no group, or
        not the group `reader`, if one is named. Raises ServiceUnavailable; NotFound where the
        key holds no stream, or the server does not let us."""
        keep_ms = int(keep_seconds * 1_000)
        try:
            async with service_errors():
                trimmed = await self._client.eval(
                    _TRIM, 1, stream, keep_ms, reader or "", TRIM_ENTRIES
                )
        except ResponseError as error:
            raise NotFound(f"there is no stream to be trimmed: {error}") from error
        return int(trimmed)

    async def close(self) -> None:
        await self._client.aclose()
