"""Changing the number of event streams, between two events of any contact.

A contact's events are in order within one stream. Another number puts them into another one,
so everything sent by the old number has to have taken effect before anything is sent by the
new one. While the change is announced, `goald.client.Publisher` sends nothing; the number
changes in one step with a last look that nothing is left.
"""

from goald.adapters.redis.connect import Client, service_errors
from goald.domain.errors import NotDrained
from goald.domain.streams import DEFAULT_STREAMS
from goald.redis_keys import GROUP, NEXT_STREAMS, STREAM_COUNT, event_stream

ANNOUNCED_SECONDS = 15
"""A change that nobody goes on with is given up after so long, and producers send again."""

_ANNOUNCE = """
local coming = redis.call('GET', KEYS[1])
if coming and coming ~= ARGV[1] then return coming end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return false
"""
"""Gives the number that another announced, having done nothing, where there is one."""

_WITHDRAW = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""

_CHANGE = """
local function taken_effect(stream)
  if #redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1) == 0 then return true end
  for _, told in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local group = {}
    for i = 1, #told, 2 do group[told[i]] = told[i + 1] end
    if group['name'] == ARGV[3] then
      local behind = redis.call(
        'XRANGE', stream, '(' .. group['last-delivered-id'], '+', 'COUNT', 1)
      return group['pending'] == 0 and #behind == 0
    end
  end
  return false
end

local held, coming = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])
if (held or ARGV[4]) ~= ARGV[1] then return 0 end
if coming and coming ~= ARGV[2] then return 0 end
for i = 3, #KEYS do
  if not taken_effect(KEYS[i]) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('DEL', KEYS[2])
return 1
"""
"""Sets the number where it is still the old one, no other is announced, and every entry of
the streams is acknowledged: what is not, is not known to have taken effect (D2)."""


async def announce(client: Client, wanted: int) -> None:
    """Say, for ANNOUNCED_SECONDS, that the number is about to be `wanted`: producers wait. To
    be repeated in less. Raises NotDrained where another number is announced already."""
    async with service_errors():
        coming = await client.eval(_ANNOUNCE, 1, NEXT_STREAMS, wanted, ANNOUNCED_SECONDS)
    if coming is not None:
        raise NotDrained(
            f"the number of event streams is being changed to {int(coming)}: let that end first; "
            f"a command that died is given up after {ANNOUNCED_SECONDS} s"
        )


async def withdraw(client: Client, wanted: int) -> None:
    """Let producers send on, by the number that Redis holds."""
    async with service_errors():
        await client.eval(_WITHDRAW, 1, NEXT_STREAMS, wanted)


async def change(client: Client, before: int, wanted: int) -> bool:
    """Change the number from `before` to `wanted`, if all that was sent has taken effect;
    whether it is changed. Also where nothing is announced any more."""
    keys = STREAM_COUNT, NEXT_STREAMS, *map(event_stream, range(before))
    async with service_errors():
        changed = await client.eval(
            _CHANGE, len(keys), *keys, before, wanted, GROUP, DEFAULT_STREAMS
        )
    return bool(changed)
