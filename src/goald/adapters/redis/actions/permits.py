"""Permits in Redis: a set of executions for each account, and one for each slot (X8)."""

from collections.abc import Sequence
from typing import Any, Final

from goald.adapters.redis.actions.holder_scripts import HOLDS
from goald.domain.actions.gates import GateSeries
from goald.domain.errors import LeaseLost, ServerReplaced
from goald.domain.slots import SLOTS, SlotRange
from goald.ports.actions.permits import Permit, PermitAnswer
from goald.redis_jobs.gate_scripts import COMMON
from goald.redis_jobs.places import batches
from goald.redis_jobs.script import Script
from goald.redis_keys import GATE_SLOTS, PERMITS, PERMITS_OF_SLOT
from goald.redis_wire import Wire

_SLOTS_PER_REPORT: Final = 16

_MEMBERS: Final = """
-- The member of a slot's set begins with the length of the tenant.
local function parts(member)
  local length, rest = string.match(member, '^(%d+):(.*)$')
  return string.sub(rest, 1, length), string.sub(rest, length + 1)
end

-- An execution that moves to another slot has a permit in each of the two for a moment, so that
-- neither of their holders removes that of the other.
local function add(slot, member)
  local tenant, execution = parts(member)
  redis.call('SADD', ARGV[5] .. tenant, slot .. ':' .. execution)
  redis.call('SADD', ARGV[6] .. slot, member)
end

local function remove_permit(slot, member)
  local tenant, execution = parts(member)
  redis.call('SREM', ARGV[5] .. tenant, slot .. ':' .. execution)
  redis.call('SREM', ARGV[6] .. slot, member)
end
"""

_TAKE: Final = Script(
    COMMON,
    HOLDS,
    _MEMBERS,
    """
local function main()
  local run = current_run()
  local refused = not_held(ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), run)
  if refused then return refused end
  local all, slots = records(0, tonumber(ARGV[4])), tonumber(ARGV[4])
  for slot = 0, slots - 1 do
    if string.sub(all, slot * RECORD + SERIES + 1, (slot + 1) * RECORD) ~= run then return 3 end
  end
  local counts, answers = {}, {}
  for at = 7, #ARGV, 3 do
    local tenant, _ = parts(ARGV[at])
    if redis.call('SISMEMBER', ARGV[6] .. ARGV[at + 1], ARGV[at]) == 1 then
      answers[#answers + 1] = 0
    else
      counts[tenant] = counts[tenant] or redis.call('SCARD', ARGV[5] .. tenant)
      if counts[tenant] < tonumber(ARGV[at + 2]) then
        add(ARGV[at + 1], ARGV[at])
        counts[tenant] = counts[tenant] + 1
        answers[#answers + 1] = 0
      else
        answers[#answers + 1] = 1
      end
    end
  end
  return answers
end
""",
)
"""Grants permits up to the limits, if every slot is admitted under the current run."""

_RELEASE: Final = Script(
    COMMON,
    HOLDS,
    _MEMBERS,
    """
local function main()
  local refused = not_held(ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), current_run())
  if refused then return refused end
  for at = 7, #ARGV, 3 do remove_permit(ARGV[at + 1], ARGV[at]) end
  return {}
end
""",
)

_REPORT: Final = Script(
    COMMON,
    HOLDS,
    _MEMBERS,
    """
local function main()
  local first, count = tonumber(ARGV[2]), tonumber(ARGV[3])
  local refused = not_held(ARGV[1], first, count, current_run())
    and not_held(ARGV[1], first, count, string.rep(' ', 16))
  if refused then return refused end
  local active = {}
  for at = 7, #ARGV, 3 do active[ARGV[at]] = ARGV[at + 1] end
  for slot = first, first + count - 1 do
    for _, member in ipairs(redis.call('SMEMBERS', ARGV[6] .. slot)) do
      if not active[member] then remove_permit(slot, member) end
    end
  end
  for member, slot in pairs(active) do add(slot, member) end
  return {}
end
""",
)
"""Replaces the permits of some slots."""

_ANSWERS: Final = (PermitAnswer.GRANTED, PermitAnswer.FULL)


class RedisPermits:
    """`ports.Permits` over Redis. Calls execute one after another. Bound to one event loop."""

    def __init__(self, url: str, *, timeout: float = 10.0) -> None:
        """Does not connect."""
        self._wire = Wire(url, timeout=timeout)

    async def report(self, slots: SlotRange, series: GateSeries, active: Sequence[Permit]) -> None:
        for first in range(slots.first, slots.last + 1, _SLOTS_PER_REPORT):
            part = SlotRange(first, min(slots.last, first + _SLOTS_PER_REPORT - 1))
            permits = [(each, 0) for each in active if part.first <= each.slot <= part.last]
            await self._call(_REPORT, part, series, permits)

    async def take(
        self, slots: SlotRange, series: GateSeries, requests: Sequence[tuple[Permit, int]]
    ) -> list[PermitAnswer]:
        answers: list[PermitAnswer] = []
        for batch in batches(requests):
            reply = await self._call(_TAKE, slots, series, batch)
            if reply == 3:
                return [PermitAnswer.NOT_REPORTED] * len(requests)
            answers += [_ANSWERS[answer] for answer in reply]
        return answers

    async def release(
        self, slots: SlotRange, series: GateSeries, permits: Sequence[Permit]
    ) -> None:
        for batch in batches([(each, 0) for each in permits]):
            await self._call(_RELEASE, slots, series, batch)

    async def close(self) -> None:
        await self._wire.close()

    async def _call(
        self,
        script: Script,
        slots: SlotRange,
        series: GateSeries,
        permits: Sequence[tuple[Permit, int]],
    ) -> Any:
        arguments: list[str | bytes | int] = [
            series, slots.first, slots.last - slots.first + 1, SLOTS, PERMITS, PERMITS_OF_SLOT,
        ]  # fmt: skip
        for permit, limit in permits:
            tenant = permit.tenant_id.encode()
            member = b"%d:%s%s" % (len(tenant), tenant, permit.execution_id.encode())
            arguments += (member, permit.slot, limit)
        reply = await script.call(self._wire, [GATE_SLOTS], arguments)
        if reply == 1:
            raise LeaseLost(f"the permits of slots {slots} have a later holder than {series}")
        if reply == 2:
            raise ServerReplaced(f"Redis was replaced or lost the holder of slots {slots}")
        return reply
