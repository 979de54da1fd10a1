"""How the scripts see gates. Each script is atomic.

An open or passed gate is a field of the hash `goald:gates`:

    state (1)  expires at, ms (13)  passed at, ms (13)  token (16)  type of action  entry id

The state is `o` for open, `p` for passed, `c` for passed and closed by the holder. The token of an
open gate is that which was returned last. Next to that, each gate takes 2 bits: 1 is closed, 2 is
finished, 3 is open or passed. A page of such bits expires some time after its last change.

A slot has 35 bytes in `goald:gates:slots`: the series of its holder (19), and the run of Redis
under which the holder has admitted the slot (16 characters, spaces for none): a digest of its
`run_id` and its `master_replid`. It has 19 bytes in
`goald:gates:floors`: the first series whose gates may pass. A later series has a greater epoch.

A script gets a gate as its field, the number of the key of its page, and its place in the page.
"""

from typing import Final

KEPT_SECONDS: Final = 3_600.0
"""How long closed and finished gates are kept at least."""

COMMON: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function info_of(section, field)
  local info = redis.pcall('INFO', section)
  return type(info) == 'string' and string.match(info, field .. ':(%x+)')
end

-- A primary that becomes a replica and then the primary again keeps its run_id, but not its
-- replication history, and has lost what the primary between accepted.
local function current_run()
  local id, history = info_of('server', 'run_id'), info_of('replication', 'master_replid')
  return id and string.sub(redis.sha1hex(id .. (history or '')), 1, 16) or '----------------'
end

local function list_of(lists, key)
  local list = lists[key]
  if not list then
    list = {}
    lists[key] = list
  end
  return list
end

-- The bits of gates, by the places of their arguments: `at` is the field, then the page, the bit.
local function bits_of(places)
  local gets, found, bits = {}, {}, {}
  for _, at in ipairs(places) do
    local list, ats = list_of(gets, ARGV[at + 1]), list_of(found, ARGV[at + 1])
    local n = #list
    list[n + 1], list[n + 2], list[n + 3] = 'GET', 'u2', ARGV[at + 2]
    ats[#ats + 1] = at
  end
  for page, list in pairs(gets) do
    for i, state in ipairs(redis.call('BITFIELD', KEYS[tonumber(page)], unpack(list))) do
      bits[found[page][i]] = state
    end
  end
  return bits
end

local function fields_of(first, step)
  local fields, n = {}, 0
  for at = first, #ARGV, step do
    n = n + 1
    fields[n] = ARGV[at]
  end
  return fields
end

local marks, ended, set, streams = {}, {}, {}, {}

local function mark(at, state)
  local list = list_of(marks, ARGV[at + 1])
  local n = #list
  list[n + 1], list[n + 2], list[n + 3], list[n + 4] = 'SET', 'u2', ARGV[at + 2], state
end

local function remove(stream, entry)
  local entries = list_of(streams, stream)
  entries[#entries + 1] = entry
end

local function write(gates_key, kept_ms, group)
  if #set > 0 then redis.call('HSET', gates_key, unpack(set)) end
  for page, list in pairs(marks) do
    redis.call('BITFIELD', KEYS[tonumber(page)], unpack(list))
    redis.call('PEXPIRE', KEYS[tonumber(page)], kept_ms)
  end
  if #ended > 0 then redis.call('HDEL', gates_key, unpack(ended)) end
  for stream, entries in pairs(streams) do
    if group then redis.call('XACK', stream, group, unpack(entries)) end
    redis.call('XDEL', stream, unpack(entries))
  end
end
"""
"""`write` applies what a script has collected in `marks`, `ended`, `set` and `streams`, with few
commands."""
