"""The scripts of workers."""

from typing import Final

from goald.redis_jobs.gate_scripts import COMMON
from goald.redis_jobs.script import Script

REMOVE_CONSUMERS: Final = Script(
    """
local function main()
  local removed = 0
  for _, flat in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
    local consumer = {}
    for i = 1, #flat, 2 do consumer[flat[i]] = flat[i + 1] end
    local is_idle = consumer['idle'] > tonumber(ARGV[2]) or consumer['name'] == ARGV[3]
    if consumer['pending'] == 0 and is_idle then
      redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer['name'])
      removed = removed + 1
    end
  end
  return removed
end
"""
)
"""Removes members of a consumer group that have no job: those that were idle for ARGV[2]
milliseconds, and the one named ARGV[3]. A member that has jobs stays, because its jobs would not be
found any more."""

TAKEN_OVER: Final = "local TAKEN_OVER = string.rep('9', 13)\n"
"""In place of the time at which a gate expires, which no longer matters: another worker passed it
before."""

PASS: Final = Script(
    COMMON,
    TAKEN_OVER,
    """
local function is_due(value, after)
  after = tonumber(after)
  return after >= 0 and now - tonumber(string.sub(value, 15, 27)) >= after
end

local function main()
  local run, step = current_run(), 7
  local records = redis.call('GET', KEYS[1]) or ''
  local floors = redis.call('GET', KEYS[4]) or ''
  local live = redis.call('HMGET', KEYS[2], unpack(fields_of(2, step)))
  local inactive = redis.call('SMISMEMBER', KEYS[3], unpack(fields_of(6, step)))
  local stamp, n, missing, answers, seen = string.format('%013d', now), 0, {}, {}, {}
  local i = 0
  for at = 2, #ARGV, step do
    i = i + 1
    local value, slot = live[i], tonumber(ARGV[at + 3])
    local floor = string.sub(floors, slot * 19 + 1, slot * 19 + 19)
    if string.sub(records, slot * 35 + 20, slot * 35 + 35) ~= run then
      answers[i] = 'h'
    elseif not value then
      missing[#missing + 1] = at
    elseif seen[ARGV[at]] then
      answers[i] = 'a'
    elseif string.sub(ARGV[at], 1, 19) ~= floor
        and string.sub(ARGV[at], 1, 10) <= string.sub(floor, 1, 10) then
      -- Its series is of another run of Redis. Close it, unless a worker still calls.
      local is_called = string.byte(value) ~= 111 and not is_due(value, ARGV[at + 6])
      if not is_called then
        ended[#ended + 1] = ARGV[at]
        mark(at, 1)
      end
      answers[i], seen[ARGV[at]] = is_called and 'a' or 'u', true
    elseif string.byte(value) == 111 then  -- open
      local expires = string.sub(value, 2, 14)
      if inactive[i] == 1 then
        answers[i] = 'i'
      elseif expires ~= '0000000000000' and now > tonumber(expires) then
        answers[i] = 'e'
      elseif string.sub(value, 28, 43) == ARGV[at + 5] then
        answers[i] = 'c'
      else
        set[n + 1] = ARGV[at]
        set[n + 2] = 'p' .. expires .. stamp .. ARGV[at + 5] .. string.sub(value, 44)
        n = n + 2
        answers[i], seen[ARGV[at]] = 'p', true
      end
    else
      if is_due(value, ARGV[at + 6]) and string.sub(value, 28, 43) ~= ARGV[at + 5] then
        set[n + 1] = ARGV[at]
        local state = string.sub(value, 1, 1)
        set[n + 2] = state .. TAKEN_OVER .. stamp .. ARGV[at + 5] .. string.sub(value, 44)
        n = n + 2
        answers[i], seen[ARGV[at]] = string.byte(value) == 112 and 't' or 'd', true
      else
        answers[i] = 'a'
      end
    end
  end
  if #missing > 0 then
    for at, state in pairs(bits_of(missing)) do
      answers[(at - 2) / step + 1] = state == 1 and 'c' or state == 2 and 'f' or 'u'
    end
  end
  write(KEYS[2], ARGV[1])
  return answers
end
""",
)
"""Passes gates. A returned token does not pass its gate, because its request may have been
delayed."""

RETURN: Final = Script(
    COMMON,
    TAKEN_OVER,
    """
local function main()
  local live, i = redis.call('HMGET', KEYS[2], unpack(fields_of(2, 4))), 0
  local zeros = string.rep('0', 13)
  for at = 2, #ARGV, 4 do
    i = i + 1
    local value, token = live[i], ARGV[at + 3]
    if value and string.byte(value) == 111 then  -- open
      set[#set + 1] = ARGV[at]
      set[#set + 1] = string.sub(value, 1, 27) .. token .. string.sub(value, 44)
    elseif value and string.sub(value, 28, 43) == token
        and string.sub(value, 2, 14) ~= TAKEN_OVER then
      if string.byte(value) == 112 then  -- passed
        set[#set + 1] = ARGV[at]
        set[#set + 1] = 'o' .. string.sub(value, 2, 14) .. zeros .. string.sub(value, 28)
      else
        ended[#ended + 1] = ARGV[at]
        mark(at, 1)
      end
    end
  end
  write(KEYS[2], ARGV[1])
  return 1
end
""",
)
"""Opens gates again that the tokens have passed, or closes them if the holder has meanwhile. An
open gate remembers the token, because the request that passes it may still arrive. A gate that was
taken over stays passed, because the worker before may have called the provider."""

DISCARD: Final = Script(
    COMMON,
    """
local function main()
  local page = tonumber(ARGV[3])
  local value = page > 0 and redis.call('HGET', KEYS[2], ARGV[2])
  if value and string.byte(value) ~= 111 then return 0 end  -- passed
  if value then
    ended[1] = ARGV[2]
    mark(2, 1)
  end
  remove(KEYS[tonumber(ARGV[5])], ARGV[6])
  write(KEYS[2], ARGV[1], ARGV[7])
  return 1
end
""",
)
"""Closes the gate of an entry that cannot be read, and removes the entry, unless a worker has
passed the gate. ARGV[3]: the number of the key of the gate's page, 0 for an entry without one."""

FINISH: Final = Script(
    COMMON,
    """
local function main()
  local counts = redis.call('MGET', KEYS[3], KEYS[4])
  if counts[2] then return 0 end
  local partitions, step, i = tonumber(counts[1] or ARGV[2]), 12, 0
  local live, missing, answers, seen = {}, {}, {}, {}
  live = redis.call('HMGET', KEYS[2], unpack(fields_of(6, step)))
  local function publish(at)
    local stream = ARGV[3] .. (ARGV[at + 3] % partitions)
    if ARGV[at + 8] ~= '' then redis.call('XADD', stream, '*', ARGV[4], ARGV[at + 8]) end
    redis.call('XADD', stream, '*', ARGV[4], ARGV[at + 7])
    if ARGV[at + 9] ~= '' then
      local payloads = KEYS[tonumber(ARGV[at + 9])]
      if ARGV[at + 11] == '' then
        redis.call('HDEL', payloads, ARGV[at + 10])
      else
        redis.call('HSETNX', payloads, ARGV[at + 10], ARGV[at + 11])
        redis.call('PEXPIRE', payloads, 2678400000)  -- 31 days
      end
    end
    remove(KEYS[tonumber(ARGV[at + 5])], ARGV[at + 6])
    return 0
  end
  for at = 6, #ARGV, step do
    i = i + 1
    local value, token = live[i], ARGV[at + 4]
    if seen[ARGV[at]] then
      answers[i] = 1
    elseif not value then
      missing[#missing + 1], seen[ARGV[at]] = at, true
    elseif token == (string.byte(value) == 111 and '' or string.sub(value, 28, 43)) then
      answers[i], seen[ARGV[at]] = publish(at), true
      ended[#ended + 1] = ARGV[at]
      mark(at, token == '' and 1 or 2)
    else
      answers[i] = 2
    end
  end
  if #missing > 0 then
    for at, state in pairs(bits_of(missing)) do
      local answer = 2
      if state == 2 then
        remove(KEYS[tonumber(ARGV[at + 5])], ARGV[at + 6])
        answer = 1
      elseif ARGV[at + 4] == '' then
        if state ~= 1 then mark(at, 1) end
        answer = publish(at)
      elseif state ~= 1 then
        mark(at, 2)
        answer = publish(at)
      end
      answers[(at - 6) / step + 1] = answer
    end
  end
  write(KEYS[2], ARGV[1], ARGV[5])
  return answers
end
""",
)
"""Publishes results, finishes their gates and removes their jobs. A result without a token closes
an open gate. A result with a token of a gate that Redis has lost is published too: the provider was
called. ARGV[3]: the names of event streams begin with it."""
