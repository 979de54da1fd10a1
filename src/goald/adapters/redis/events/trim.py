"""Trims the entries of a stream that every group has acknowledged, or that are too old (D5)."""

from redis.exceptions import ResponseError

from goald.adapters.redis.connect import Client, connect, service_errors
from goald.adapters.redis.events.entry_ids import LUA_LESS
from goald.domain.errors import NotFound

TRIM_ENTRIES = 10_000
"""Entries per call. Redis is blocked during the call."""

_TRIM = (
    LUA_LESS
    + """
local function least(one, other) if less(other, one) then return other end return one end
local function following(id)
  local ms, sequence = string.match(id, '(%d+)-(%d+)')
  if #sequence > 15 then return id end
  return ms .. string.format('-%.0f', sequence + 1)
end

if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function ago(ms) return string.format('%.0f-0', math.max(0, now - ms)) end
local bound, oldest = ago(ARGV[1]), ago(ARGV[2])
local reader, read = ARGV[3], nil
local groups = redis.call('XINFO', 'GROUPS', KEYS[1])
for _, flat in ipairs(groups) do
  local group = {}
  for i = 1, #flat, 2 do group[flat[i]] = flat[i + 1] end
  local first = following(group['last-delivered-id'])
  if group['pending'] > 0 then
    first = least(first, redis.call('XPENDING', KEYS[1], group['name'])[2])
  end
  bound = least(bound, first)
  if group['name'] == reader then read = first end
end
if reader ~= '' then
  if not read then return 0 end
  local forced = least(oldest, read)
  if less(bound, forced) then bound = forced end
elseif #groups == 0 then
  bound = oldest
end
local trimmed = redis.call('XTRIM', KEYS[1], 'MINID', '~', bound, 'LIMIT', ARGV[4])
if trimmed == 0 then
  trimmed = redis.call('XTRIM', KEYS[1], 'MINID', least(bound, oldest))
end
return trimmed
"""
)
"""Reads the groups and trims atomically, so that no group can be created in between. Compares ids
as text, because Lua's numbers are too small for them; an acknowledged entry whose producer chose a
sequence of more than 15 digits is kept until the next one. Uses the server's clock, which also
sets the entry ids. "~" deletes whole nodes only; once no whole node is left to delete, the entries
of the first node (100 at most) that are too old are deleted one by one."""


class RedisTrimmer:
    """`runtime.trimming.Trimmer` over Redis. Connects when first used. Bound to one event
    loop."""

    def __init__(self, url: str) -> None:
        self._client: Client = connect(url)

    async def trim(
        self, stream: str, keep_seconds: float, oldest_seconds: float, reader: str | None
    ) -> int:
        """Delete the oldest entries, about TRIM_ENTRIES at most. Returns how many were deleted.

        Deletes entries that every group has acknowledged and that are older than `keep_seconds`.
        With `reader`: also those that this group has acknowledged and that are older than
        `oldest_seconds`; nothing if the group does not exist. Without: from a stream that has no
        group, entries older than `oldest_seconds`. Raises ServiceUnavailable, and NotFound if the
        key holds no stream or the login may not trim it.
        """
        keep_ms, oldest_ms = int(keep_seconds * 1_000), int(oldest_seconds * 1_000)
        try:
            async with service_errors():
                trimmed = await self._client.eval(
                    _TRIM, 1, stream, keep_ms, oldest_ms, reader or "", TRIM_ENTRIES
                )
        except ResponseError as error:
            raise NotFound(f"{stream} cannot be trimmed: {error}") from error
        return int(trimmed)

    async def close(self) -> None:
        await self._client.aclose()
