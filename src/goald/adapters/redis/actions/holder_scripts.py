"""The scripts of the holder of slots."""

from typing import Final

from goald.redis_jobs.gate_scripts import COMMON
from goald.redis_jobs.script import Script

HOLDS: Final = """
local SERIES, RECORD = 19, 35

local function records(first, count)
  return redis.call('GETRANGE', KEYS[1], first * RECORD, (first + count) * RECORD - 1)
end

-- 1: a later holder has a slot. 2: Redis is another run, or lost the records. nil: neither.
local function not_held(own, first, count, run)
  local found = records(first, count)
  if found == string.rep(own .. run, count) then return nil end
  for slot = 0, count - 1 do
    local epoch = string.sub(found, slot * RECORD + 1, slot * RECORD + 10)
    if epoch > string.sub(own, 1, 10) then return 1 end
  end
  return 2
end
"""

FENCE: Final = Script(
    COMMON,
    HOLDS,
    """
local function main()
  local own, before, first, count = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
  local run, found, continuous = current_run(), records(first, count), 1
  for slot = 0, count - 1 do
    local holder = string.sub(found, slot * RECORD + 1, slot * RECORD + SERIES)
    local epoch, own_epoch = string.sub(holder, 1, 10), string.sub(own, 1, 10)
    if epoch > own_epoch or (epoch == own_epoch and holder ~= own and holder ~= before) then
      return {1}
    end
    if string.sub(found, slot * RECORD + SERIES + 1, (slot + 1) * RECORD) ~= run then
      continuous = 0
    end
  end
  if redis.call('STRLEN', KEYS[1]) == 0 then
    redis.call('SET', KEYS[1], string.rep(' ', RECORD * ARGV[5]))
    redis.call('SET', KEYS[2], string.rep('9', SERIES * ARGV[5]))
  end
  local record = own .. (continuous == 1 and run or string.rep(' ', 16))
  redis.call('SETRANGE', KEYS[1], first * RECORD, string.rep(record, count))
  if continuous == 0 then
    redis.call('SETRANGE', KEYS[2], first * SERIES, string.rep(own, count))
  end
  local floors = redis.call('GETRANGE', KEYS[2], first * SERIES, (first + count) * SERIES - 1)
  return {0, run, continuous, floors}
end
""",
)
"""Takes slots over, unless a later holder has. Keeps the run and the floors if all of the slots
were admitted under the current run."""

ADMIT: Final = Script(
    COMMON,
    HOLDS,
    """
local function main()
  local own, first, count, run = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), current_run()
  if run ~= ARGV[4] then return 2 end
  if not not_held(own, first, count, run) then return 0 end
  local refused = not_held(own, first, count, string.rep(' ', 16))
  if refused then return refused end
  redis.call('SETRANGE', KEYS[1], first * RECORD, string.rep(own .. run, count))
  return 0
end
""",
)
"""Records the run under which the gates of the slots were compared."""

REGISTER: Final = Script(
    COMMON,
    HOLDS,
    """
local function main()
  local refused = not_held(ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), current_run())
  if refused then return refused end
  local step, answers, replaced, names = 10, {}, {}, {}
  for at = 6, #ARGV, step do
    if ARGV[at + 7] ~= '' then
      replaced[#replaced + 1] = at + 7
      names[#names + 1] = ARGV[at + 7]
    end
  end
  local live = {}
  if #replaced > 0 then
    for at, state in pairs(bits_of(replaced)) do live[at - 7] = state > 1 end
    for i, value in ipairs(redis.call('HMGET', KEYS[2], unpack(names))) do
      if value then live[replaced[i] - 7] = true end
    end
  end
  -- The bits of a gate that is open or passed for longer than they are kept have expired.
  local fields = redis.call('HMGET', KEYS[2], unpack(fields_of(6, step)))
  local opens, places = {}, {}
  for at = 6, #ARGV, step do
    if live[at] then
      answers[(at - 6) / step + 1] = 2
    elseif fields[(at - 6) / step + 1] then
      answers[(at - 6) / step + 1] = 1
    else
      local page = ARGV[at + 1]
      if not opens[page] then opens[page], places[page] = {'OVERFLOW', 'FAIL'}, {} end
      local list, n = opens[page], #opens[page]
      list[n + 1], list[n + 2], list[n + 3], list[n + 4] = 'INCRBY', 'u2', ARGV[at + 2], 3
      places[page][(n - 2) / 4 + 1] = at
    end
  end
  local tail, n, failure = string.rep('0', 13) .. string.rep('\\0', 16), 0, nil
  for page, list in pairs(opens) do
    for i, opened in ipairs(redis.call('BITFIELD', KEYS[tonumber(page)], unpack(list))) do
      local at = places[page][i]
      if not opened then
        answers[(at - 6) / step + 1] = 1
      else
        local entry = failure
          or redis.pcall(
            'XADD', KEYS[tonumber(ARGV[at + 3])], '*', ARGV[4], ARGV[at + 6], 'gate', ARGV[at])
        if type(entry) == 'table' then
          failure = entry
          mark(at, 0)
        else
          set[n + 1] = ARGV[at]
          set[n + 2] = 'o' .. ARGV[at + 5] .. tail .. ARGV[at + 4] .. ' ' .. entry
          n = n + 2
          answers[(at - 6) / step + 1] = 0
        end
      end
    end
    redis.call('PEXPIRE', KEYS[tonumber(page)], ARGV[5])
  end
  write(KEYS[2], ARGV[5])
  return failure or answers
end
""",
)
"""Adds jobs to their streams with open gates, if no gates exist: the bits of a gate are incremented
from 0 to 3, which fails for any other value. ARGV[4]: the field of the payload."""

CLOSE: Final = Script(
    COMMON,
    HOLDS,
    """
local function main()
  local refused = not_held(ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), current_run())
  if refused then return refused end
  local missing, answers, i = {}, {}, 0
  local live = redis.call('HMGET', KEYS[2], unpack(fields_of(7, 3)))
  for at = 7, #ARGV, 3 do
    i = i + 1
    local value = live[i]
    if not value then
      missing[#missing + 1] = at
    elseif string.byte(value) == 111 then  -- open
      local action, entry = string.match(value, '^(%S+) (%S+)$', 44)
      remove(ARGV[5] .. action, entry)
      ended[#ended + 1] = ARGV[at]
      mark(at, 1)
      answers[i] = 'o'
    else
      set[#set + 1] = ARGV[at]
      set[#set + 1] = 'c' .. string.sub(value, 2)
      answers[i] = math.max(0, now - tonumber(string.sub(value, 15, 27)))
    end
  end
  if #missing > 0 then
    for at, state in pairs(bits_of(missing)) do
      answers[(at - 7) / 3 + 1] = state == 1 and 'x' or state == 2 and 'f' or 'u'
      mark(at, state == 2 and 2 or 1)
    end
  end
  write(KEYS[2], ARGV[4], ARGV[6])
  return answers
end
""",
)
"""Closes gates. Answers for a passed gate how long ago it was passed. ARGV[5]: the names of streams
begin with it. ARGV[6]: the consumer group of workers. Every call writes, also if all gates were
closed before, because WAIT waits for the last write of its connection."""

STATES: Final = Script(
    COMMON,
    """
local function main()
  local missing, answers, i = {}, {}, 0
  local live = redis.call('HMGET', KEYS[2], unpack(fields_of(1, 3)))
  for at = 1, #ARGV, 3 do
    i = i + 1
    local value = live[i]
    if not value then
      missing[#missing + 1] = at
    elseif string.byte(value) == 111 then
      answers[i] = 'o'
    else
      answers[i] = math.max(0, now - tonumber(string.sub(value, 15, 27)))
    end
  end
  for at, state in pairs(bits_of(missing)) do
    answers[(at - 1) / 3 + 1] = state == 1 and 'x' or state == 2 and 'f' or 'u'
  end
  return answers
end
""",
)
"""Answers as `CLOSE`, and changes nothing."""
