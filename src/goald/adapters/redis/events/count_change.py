"""Changes the number of event streams without reordering the events of a contact.

The events of a contact are ordered within one stream, and the number of streams decides which
stream that is. All events routed by the old number must therefore take effect before an event is
routed by the new one. While a change is pending, `goald.client.Publisher` sends no events. The
number changes atomically with a check that every entry is acknowledged.
"""

from goald.adapters.redis.connect import Client, service_errors
from goald.domain.errors import NotDrained
from goald.domain.streams import DEFAULT_STREAMS
from goald.redis_keys import GROUP, NEXT_STREAMS, STREAM_COUNT, event_stream

PENDING_SECONDS = 15
"""A pending change expires after this time unless it is renewed; producers then send again."""

_BEGIN = """
local pending = redis.call('GET', KEYS[1])
if pending and pending ~= ARGV[1] then return pending end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return false
"""
"""Stores the pending change. If another change is pending, returns its number instead."""

_CANCEL = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""

_CHANGE = """
local function taken_effect(stream)
  if #redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1) == 0 then return true end
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local group = {}
    for i = 1, #flat, 2 do group[flat[i]] = flat[i + 1] end
    if group['name'] == ARGV[3] then
      local behind = redis.call(
        'XRANGE', stream, '(' .. group['last-delivered-id'], '+', 'COUNT', 1)
      return group['pending'] == 0 and #behind == 0
    end
  end
  return false
end

local current, pending = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])
if (current or ARGV[4]) ~= ARGV[1] then return 0 end
if pending and pending ~= ARGV[2] then return 0 end
for i = 3, #KEYS do
  if not taken_effect(KEYS[i]) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('DEL', KEYS[2])
return 1
"""
"""Sets the number if it is still the old one, no other change is pending, and every entry of the
streams is acknowledged. An unacknowledged entry may not have taken effect (D2)."""


async def begin(client: Client, count: int) -> None:
    """Make a change to `count` pending for PENDING_SECONDS; producers wait. Call it again within
    that time to renew it. Raises NotDrained if another change is pending."""
    async with service_errors():
        pending = await client.eval(_BEGIN, 1, NEXT_STREAMS, count, PENDING_SECONDS)
    if pending is not None:
        raise NotDrained(
            f"the number of event streams is being changed to {int(pending)}. Wait until "
            f"that change has ended. If its command was interrupted, it expires after "
            f"{PENDING_SECONDS} s"
        )


async def cancel(client: Client, count: int) -> None:
    """Cancel the pending change to `count`; producers continue with the stored number."""
    async with service_errors():
        await client.eval(_CANCEL, 1, NEXT_STREAMS, count)


async def change(client: Client, before: int, count: int) -> bool:
    """Change the number from `before` to `count` if every entry is acknowledged, even if the
    pending change has expired. Returns whether it changed."""
    keys = STREAM_COUNT, NEXT_STREAMS, *map(event_stream, range(before))
    async with service_errors():
        changed = await client.eval(
            _CHANGE, len(keys), *keys, before, count, GROUP, DEFAULT_STREAMS
        )
    return bool(changed)
