"""Trims acknowledged entries of a stream that takes too much memory, before their time (D5)."""

from redis.exceptions import ResponseError

from goald.adapters.redis.connect import Client, connect, service_errors
from goald.adapters.redis.events.entry_ids import LUA_LESS
from goald.adapters.redis.events.levels import SAMPLES
from goald.domain.errors import NotFound

FEWEST_ENTRIES = 100
"""The entries of a full node of a stream. Trimming deletes whole nodes."""
MOST_ENTRIES = 10_000
"""Entries per call. Redis is blocked during the call."""

_TRIM = (
    LUA_LESS
    + """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local size = redis.pcall('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', ARGV[5])
local target, fewest, most = tonumber(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4])
local groups, bound, has_reader = redis.call('XINFO', 'GROUPS', KEYS[1]), nil, ARGV[2] == ''
for _, flat in ipairs(groups) do
  local group = {}
  for i = 1, #flat, 2 do group[flat[i]] = flat[i + 1] end
  local first = group['last-delivered-id']
  if group['pending'] > 0 then
    local oldest = redis.call('XPENDING', KEYS[1], group['name'])[2]
    if less(oldest, first) then first = oldest end
  end
  if not bound or less(first, bound) then bound = first end
  if group['name'] == ARGV[2] then has_reader = true end
end
if not has_reader or type(size) ~= 'number' or size <= target then return 0 end
if not bound then
  local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
  if not last then return 0 end
  bound = last[1]
end
local excess = math.ceil(redis.call('XLEN', KEYS[1]) * (size - target) / size)
local limit = math.max(fewest, math.min(excess, most))
local trimmed = redis.call('XTRIM', KEYS[1], 'MINID', '~', bound, 'LIMIT', limit)
if trimmed == 0 and limit < most then
  trimmed = redis.call('XTRIM', KEYS[1], 'MINID', '~', bound, 'LIMIT', most)
end
return trimmed
"""
)
"""Trims about as many entries as the stream is too large, and none that a group has not
acknowledged. Compares ids as text, because Lua's numbers are too small for them. The second attempt
is for servers whose nodes have more entries than usual."""


class RedisByteTrimmer:
    """`runtime.jobs.stream_bounds.ByteTrimmer` over Redis. Connects when first used. Bound to one
    event loop."""

    def __init__(self, url: str) -> None:
        self._client: Client = connect(url)

    async def trim(self, stream: str, target_bytes: int, reader: str | None) -> int:
        """Delete the oldest entries, at most MOST_ENTRIES, of a stream that takes more than
        `target_bytes`. Returns how many were deleted; 0 if it takes less or nothing more may be
        deleted.

        Deletes only entries that every group has acknowledged. If the stream has no group, any
        entry may be deleted, unless `reader` is given, which is the group that must exist. Raises
        ServiceUnavailable, and NotFound if the key holds no stream or the login may not trim it.
        """
        try:
            async with service_errors():
                trimmed = await self._client.eval(
                    _TRIM, 1, stream, target_bytes, reader or "", FEWEST_ENTRIES, MOST_ENTRIES,
                    SAMPLES,
                )  # fmt: skip
        except ResponseError as error:
            raise NotFound(f"{stream} cannot be trimmed: {error}") from error
        return int(trimmed)

    async def close(self) -> None:
        await self._client.aclose()
