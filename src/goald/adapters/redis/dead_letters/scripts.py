"""The scripts that add up, remove and compact the dead letters of `goald:dead` by tenant (D5).

Next to the stream there is an index: for each tenant a stream with the ids and sizes of its dead
letters, oldest first (`KEYS[5]` and the tenant), the sorted set of the tenants by their bytes, and
the account. The index has every dead letter up to the id `indexed_to`; what was added later
follows at the next check. It is built again if it was lost, or if another program deleted entries.
The tenant "" has the dead letters whose tenant cannot be read.
"""

from typing import Final

from goald.redis_keys import (
    DEAD,
    DEAD_ACCOUNT,
    DEAD_DROPPED,
    DEAD_INDEX,
    DEAD_PACKED,
    DEAD_TENANTS,
)

KEYS: Final = (DEAD, DEAD_DROPPED, DEAD_TENANTS, DEAD_ACCOUNT, DEAD_INDEX, DEAD_PACKED)
"""The keys of every script here, in this order. A script may be given further keys after them."""

_ACCOUNT = """
local dead, dropped_key, tenants, account, index, packed = unpack(KEYS, 1, 6)
local function value_of(fields, name)
  for i = 1, #fields, 2 do
    if fields[i] == name then return fields[i + 1] end
  end
end
local function size_of(fields)
  local size = 240
  for _, text in ipairs(fields) do size = size + #text end
  return size
end
local function remove(id, fields)
  if redis.call('XDEL', dead, id) == 0 then return 0 end
  redis.call('XDEL', packed, id)
  local tenant = value_of(fields, 'tenant') or ''
  if redis.call('XDEL', index .. tenant, id) == 0 then return 0 end
  local size = size_of(fields)
  if tonumber(redis.call('ZINCRBY', tenants, -size, tenant)) <= 0 then
    redis.call('ZREM', tenants, tenant)
    redis.call('UNLINK', index .. tenant)
  end
  redis.call('HINCRBY', account, 'bytes', -size)
  redis.call('HINCRBY', account, 'entries', -1)
  redis.call('HINCRBY', account, 'removed_bytes', size)
  return size
end
local function entry(id)
  local found = redis.call('XRANGE', dead, id, id)[1]
  return found and found[2]
end
"""
"""`remove` deletes a dead letter and discounts it; it returns its size, 0 if it was not counted.
The deletion is first: a full Redis then allows the other writes of the script."""

REMOVE: Final = (
    _ACCOUNT
    + """
local removed = 0
for _, id in ipairs(ARGV) do
  local fields = entry(id)
  if fields then
    remove(id, fields)
    removed = removed + 1
  end
end
return removed
"""
)
"""Deletes the dead letters with these ids. Returns how many there were."""

REPLAY: Final = (
    _ACCOUNT
    + """
if (redis.call('GET', KEYS[8]) or ARGV[5]) ~= ARGV[4] then return 0 end
local fields = entry(ARGV[1])
if not fields then return false end
local sent = redis.call('XADD', KEYS[7], '*', ARGV[2], ARGV[3])
remove(ARGV[1], fields)
return sent
"""
)
"""Appends an event to its stream (KEYS[7]) again and deletes the dead letter. Returns 0 and sends
nothing if the number of streams (KEYS[8]) differs from the expected one: goald may no longer read
that stream."""

MAKE_ROOM: Final = (
    _ACCOUNT
    + """
local bound, free = tonumber(ARGV[1]), tonumber(ARGV[2])
local most_bytes, most_entries = tonumber(ARGV[3]), tonumber(ARGV[4])
local function counted(name) return tonumber(redis.call('HGET', account, name) or 0) end
local function forget()
  for _, tenant in ipairs(redis.call('ZRANGE', tenants, 0, -1)) do
    redis.call('UNLINK', index .. tenant)
  end
  redis.call('DEL', tenants, account)
  return 1
end

-- Count new entries.
local after = redis.call('HGET', account, 'indexed_to')
if (redis.call('EXISTS', tenants) == 1) ~= (counted('entries') > 0) then return forget() end
local bytes, entries = 0, 0
local done = false
while not done and bytes < most_bytes and entries < most_entries do
  local page = redis.call('XRANGE', dead, after and '(' .. after or '-', '+', 'COUNT', 50)
  done = #page == 0
  for _, found in ipairs(page) do
    local size, tenant = size_of(found[2]), value_of(found[2], 'tenant') or ''
    if not redis.call('ZSCORE', tenants, tenant) then redis.call('UNLINK', index .. tenant) end
    local added = redis.pcall('XADD', index .. tenant, found[1], 'bytes', size)
    if type(added) == 'table' then return forget() end
    redis.call('ZINCRBY', tenants, size, tenant)
    bytes, entries, after = bytes + size, entries + 1, found[1]
  end
end
if entries > 0 then
  redis.call('HSET', account, 'indexed_to', after)
  redis.call('HINCRBY', account, 'bytes', bytes)
  redis.call('HINCRBY', account, 'entries', entries)
end
if not done then return 1 end
if counted('entries') ~= redis.call('XLEN', dead) then return forget() end

-- Remove the oldest of the tenant that has most.
local excess = counted('bytes') - bound
if excess > 0 then
  local least, freed, dropped = math.min(excess + free, most_bytes), 0, 0
  while freed < least and dropped < most_entries do
    local tenant = redis.call('ZREVRANGE', tenants, 0, 0)[1]
    local oldest = tenant and redis.call('XRANGE', index .. tenant, '-', '+', 'COUNT', 1)[1]
    local fields = oldest and entry(oldest[1])
    if not fields then return forget() end
    freed, dropped = freed + remove(oldest[1], fields), dropped + 1
  end
  redis.pcall('INCRBY', dropped_key, dropped)
  return 1
end
"""
    + """
-- Compact the stream if removed entries between others still take memory.
if redis.call('EXISTS', packed) == 0 then
  local size, removed = redis.pcall('MEMORY', 'USAGE', dead, 'SAMPLES', 0), counted('removed_bytes')
  if type(size) ~= 'number' then size = removed > 2 * bound and removed or 0 end
  if removed < free or size <= bound + free then return 0 end
end
if #redis.call('XINFO', 'GROUPS', dead) > 0 then
  redis.call('UNLINK', packed)
  return 0
end
local function last_id(stream)
  return value_of(redis.call('XINFO', 'STREAM', stream), 'last-generated-id')
end
local last = redis.call('EXISTS', packed) == 1 and last_id(packed)
local copied, copies = 0, 0
while copied < most_bytes and copies < most_entries do
  local page = redis.call('XRANGE', dead, last and '(' .. last or '-', '+', 'COUNT', 50)
  if #page == 0 then
    if redis.call('XLEN', packed) ~= redis.call('XLEN', dead) then
      redis.call('UNLINK', packed)
      return 0
    end
    redis.call('XSETID', packed, last_id(dead))
    redis.call('RENAME', packed, dead)
    redis.call('HDEL', account, 'removed_bytes')
    return 0
  end
  for _, found in ipairs(page) do
    redis.call('XADD', packed, found[1], unpack(found[2]))
    copied, copies, last = copied + size_of(found[2]), copies + 1, found[1]
  end
end
return 1
"""
)
"""Counts the dead letters that were added. If all are larger than the bound, removes and counts
the oldest of the tenant that has most, one after another, so that a tenant below the mean loses
none. Returns 1 if it must be called again; Redis is blocked during a call.

Redis frees the memory of removed entries only with their whole node, which has up to 4 KiB. So if
the stream takes more than the bound, its entries are copied, call by call, into a stream that
replaces it, with the same ids. Removing removes the copy too. A consumer group would be lost, so a
stream with one is not compacted."""
