"""Requests, events and bytes per second and tenant, counted in Redis for all API processes (D8)."""

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog
from redis.exceptions import RedisError

from goald.domain.errors import QuotaExceeded, ServiceUnavailable
from goald.ports.clock import Clock
from goald.redis_keys import QUOTA
from goald.redis_wire import Command, Wire, checked

PATIENCE_S: Final = 0.25
_PAUSE_S: Final = 1.0

_COUNT: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1])
local remaining = 1000 - math.floor(time[2] / 1000)
local counts, changed = {}, {}

local function count(key)
  if not counts[key] then
    local before = redis.call('GET', KEYS[key]) or ''
    local second, current, previous = string.match(before, '(%d+) (%d+) (%d+)')
    second, current, previous = tonumber(second), tonumber(current), tonumber(previous)
    if second == now - 1 then
      current, previous = 0, current
    elseif second ~= now then
      current, previous = 0, 0
    end
    counts[key] = {current = current, previous = previous}
  end
  return counts[key]
end

local answers, at = {}, 1
while at <= #ARGV do
  local parts, exceeded = tonumber(ARGV[at]), 0
  for part = parts, 1, -1 do
    local place = at + 3 * part - 2
    local used = count(tonumber(ARGV[place]))
    local weighted = used.current + math.floor(used.previous * remaining / 1000)
    if weighted + ARGV[place + 2] > tonumber(ARGV[place + 1]) then exceeded = part end
  end
  for part = 1, exceeded == 0 and parts or 0 do
    local place = at + 3 * part - 2
    local key = tonumber(ARGV[place])
    counts[key].current = counts[key].current + ARGV[place + 2]
    changed[key] = true
  end
  answers[#answers + 1] = exceeded
  at = at + 3 * parts + 1
end

for key in pairs(changed) do
  local value = string.format('%d %d %d', now, counts[key].current, counts[key].previous)
  redis.call('SET', KEYS[key], value, 'PX', 2000)
end
return answers
"""
"""Counts calls, one after another. A call is a number of parts, and for each the place of its key,
its limit and its cost. It is admitted if all of its parts are within their limits; then all are
counted, else none. Replies for each call: 0, or the first part that exceeds its limit.

A key holds a second, the use in it, and the use in the second before, which counts less as time
passes: a sliding window of one second, approximately."""

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _QuotaLimit:
    what: str
    amount: int


@dataclass(frozen=True, slots=True)
class _QuotaCall:
    """Costs that are counted together, all or none."""

    tenant: str
    parts: list[tuple[_QuotaLimit, int]]
    exceeded: asyncio.Future[int]
    """The number of the first part that exceeds its limit; 0 if the call is admitted."""


class RedisQuotas:
    """`api.ports.Quotas` with a sliding window of one second. The limit is approximate.

    Calls that arrive while others wait for Redis are counted in one round trip, in their order. If
    Redis does not reply within the patience, all calls pass without being counted, and the next
    attempt follows after _PAUSE_S. One warning is logged for each outage. Bound to the event loop
    that uses it first.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        requests: int,
        events: int,
        bytes_: int = 0,
        patience: float = PATIENCE_S,
    ) -> None:
        """`requests`, `events`, `bytes_`: the limits per second, 0 for no limit. `patience`:
        seconds to wait for Redis. Does not connect."""
        self._wire = Wire(url)
        self._clock = clock
        self._requests = _QuotaLimit("requests", requests)
        self._events = _QuotaLimit("events", events)
        self._bytes = _QuotaLimit("bytes", bytes_)
        self._paused_until: float | None = None
        self._patience = patience
        self._waiting: list[_QuotaCall] = []
        """The calls that follow those in flight."""
        self._counter: asyncio.Task[None] | None = None

    async def requests(self, tenant: str) -> None:
        """Count a request. Raises QuotaExceeded if it exceeds the limit."""
        await self._count(tenant, (self._requests, 1))

    async def work(self, tenant: str, count: int) -> None:
        """Count requests more, at most as many as a request that is alone in its second may."""
        if self._requests.amount:
            count = min(count, self._requests.amount - 1)
        await self._count(tenant, (self._requests, count))

    async def events(self, tenant: str, count: int) -> None:
        """Count the events, all or none. Raises QuotaExceeded if they exceed the limit. A batch
        larger than the limit counts as the limit, because it could never be sent otherwise."""
        await self._count(tenant, (self._events, count))

    async def bytes(self, tenant: str, count: int) -> None:
        """Count the bytes of a batch, like `events`."""
        await self._count(tenant, (self._bytes, count))

    async def events_and_bytes(self, tenant: str, events: int, size: int) -> None:
        """Count the events and the bytes of a batch, both or neither."""
        await self._count(tenant, (self._events, events), (self._bytes, size))

    async def close(self) -> None:
        if self._counter is not None:
            self._counter.cancel()
        await self._wire.close()

    async def _count(self, tenant: str, *costs: tuple[_QuotaLimit, int]) -> None:
        parts = [
            (limit, min(cost, limit.amount)) for limit, cost in costs if limit.amount and cost > 0
        ]
        if not parts or self._is_paused():
            return
        call = _QuotaCall(tenant, parts, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._counter is None:
            self._counter = asyncio.create_task(self._count_waiting())
        exceeded = await call.exceeded
        if exceeded:
            limit, cost = parts[exceeded - 1]
            raise QuotaExceeded(
                f"The tenant's quota of {limit.amount:,} {limit.what} a second "
                f"(GOALD_QUOTA_{limit.what.upper()}) is used up; this request counts as {cost:,}. "
                "Try again after a second"
            )

    async def _count_waiting(self) -> None:
        calls: list[_QuotaCall] = []
        try:
            while self._waiting:
                calls, self._waiting = self._waiting, []
                for call, exceeded in zip(calls, await self._exceeded(calls), strict=True):
                    if not call.exceeded.done():
                        call.exceeded.set_result(exceeded)
        finally:
            self._counter = None
            for call in (*calls, *self._waiting):
                call.exceeded.cancel()  # does nothing to calls that have their answer
            self._waiting = []

    async def _exceeded(self, calls: list[_QuotaCall]) -> list[int]:
        """The answers to the calls; 0 for all if they cannot be counted."""
        if self._is_paused():  # an earlier call found Redis unavailable
            return [0] * len(calls)
        keys: dict[str, int] = {}
        arguments: list[int] = []
        for call in calls:
            arguments.append(len(call.parts))
            for limit, cost in call.parts:
                key = f"{QUOTA}{limit.what}:{call.tenant}"
                arguments += (keys.setdefault(key, len(keys) + 1), limit.amount, cost)
        try:
            command: Command = ("EVAL", _COUNT, len(keys), *keys, *arguments)
            (reply,) = await self._wire.ask(command, within=self._patience)
            answers: list[int] = checked(reply)
        except (ServiceUnavailable, RedisError) as error:
            if self._paused_until is None:
                _log.warning("quotas are not counted", error=str(error))
            self._paused_until = self._clock.monotonic() + _PAUSE_S
            return [0] * len(calls)
        self._paused_until = None
        return answers

    def _is_paused(self) -> bool:
        return self._paused_until is not None and self._clock.monotonic() < self._paused_until
