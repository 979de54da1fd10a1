"""Trims the entries of a stream that every group has acknowledged (D5)."""

from redis.exceptions import ResponseError

from goald.adapters.redis.connect import Client, connect, service_errors
from goald.domain.errors import NotFound

TRIM_ENTRIES = 10_000
"""Entries per call. Redis is blocked during the call."""

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
local has_reader = ARGV[2] == ''
local groups = redis.call('XINFO', 'GROUPS', KEYS[1])
for _, flat in ipairs(groups) do
  local group = {}
  for i = 1, #flat, 2 do group[flat[i]] = flat[i + 1] end
  local first = group['last-delivered-id']
  if group['pending'] > 0 then
    local oldest = redis.call('XPENDING', KEYS[1], group['name'])[2]
    if less(oldest, first) then first = oldest end
  end
  if less(first, bound) then bound = first end
  if group['name'] == ARGV[2] then has_reader = true end
end
if #groups == 0 or not has_reader then return 0 end
return redis.call('XTRIM', KEYS[1], 'MINID', '~', bound, 'LIMIT', ARGV[3])
"""
"""Reads the groups and trims atomically, so that no group can be created in between. Compares ids
as text, because Lua's numbers are too small for them. Uses the server's clock, which also sets the
entry ids. "~" deletes whole nodes only, so up to one node (100 entries) more is kept."""


class RedisTrimmer:
    """`runtime.trimming.Trimmer` over Redis. Connects when first used. Bound to one event
    loop."""

    def __init__(self, url: str) -> None:
        self._client: Client = connect(url)

    async def trim(self, stream: str, keep_seconds: float, reader: str | None) -> int:
        """Delete the oldest entries, at most TRIM_ENTRIES, that every group has acknowledged and
        that are older than `keep_seconds`. Returns how many were deleted. Deletes nothing if the
        stream does not exist, has no group, or lacks the group `reader`, if that is given. Raises
        ServiceUnavailable, and NotFound if the key holds no stream or the login may not trim it.
        """
        keep_ms = int(keep_seconds * 1_000)
        try:
            async with service_errors():
                trimmed = await self._client.eval(
                    _TRIM, 1, stream, keep_ms, reader or "", TRIM_ENTRIES
                )
        except ResponseError as error:
            raise NotFound(f"{stream} cannot be trimmed: {error}") from error
        return int(trimmed)

    async def close(self) -> None:
        await self._client.aclose()
