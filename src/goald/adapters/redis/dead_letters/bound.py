"""Keeps `goald:dead` within a bound in bytes (D5)."""

from collections.abc import Iterator, Sequence

from goald.adapters.redis.wire import Wire, checked
from goald.ports.outbound import DeadLetter
from goald.redis_keys import DEAD, DEAD_DROPPED

_STEP = 16
"""The stream is checked after each sixteenth of the bound, and trimmed to a sixteenth below it."""
_OVERHEAD_BYTES = 200
"""The approximate overhead of an entry."""
_LARGEST_BYTES = 66_000
"""The size of an entry with the largest valid event (D9)."""
_BYTES_PER_CALL = 8 << 20
"""The approximate size that one call deletes. Redis is blocked during the call."""
_BATCH_ENTRIES = 1_000

_MAKE_ROOM = """
local bound, free, per_call = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local length = redis.call('XLEN', KEYS[1])
local dropped, more = 0, 0
local size = redis.pcall('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', 0)
if type(size) == 'table' then
  dropped = redis.call('XTRIM', KEYS[1], 'MAXLEN', ARGV[4])
elseif size and size > bound then
  local excess, after = size - bound + free, '-'
  local least = math.min(excess, per_call)
  local freed, count = 0, 0
  while freed < least do
    local page = redis.call('XRANGE', KEYS[1], after, '+', 'COUNT', 50)
    if #page == 0 then break end
    for _, entry in ipairs(page) do
      count = count + 1
      for _, text in ipairs(entry[2]) do freed = freed + #text end
      if freed >= least then break end
      after = '(' .. entry[1]
    end
  end
  dropped = redis.call('XTRIM', KEYS[1], 'MAXLEN', length - count)
  if dropped > 0 then more = 1 end
end
if dropped > 0 then redis.pcall('INCRBY', KEYS[2], dropped) end
return more
"""
"""Deletes and counts the oldest dead letters if the stream exceeds the bound. Returns 1 if it
must be called again. If the server does not report the memory of a key, the stream is limited to
the number of entries that fit if each has the largest size. A full Redis allows deleting;
counting may fail and is then skipped."""


class DeadBound:
    """Keeps `goald:dead` within a number of bytes of Redis memory, approximately."""

    def __init__(self, wire: Wire, max_bytes: int) -> None:
        self._wire = wire
        self._max_bytes = max_bytes
        self._free = max_bytes // _STEP
        self._added = self._free  # so that the first call checks existing entries

    def batches(self, dead_letters: Sequence[DeadLetter]) -> Iterator[Sequence[DeadLetter]]:
        """The dead letters in order, in batches that may be added between two checks."""
        start = size = 0
        for number, dead_letter in enumerate(dead_letters):
            size += len(dead_letter.event)
            if size >= self._free or number - start + 1 >= _BATCH_ENTRIES:
                yield dead_letters[start : number + 1]
                start, size = number + 1, 0
        if start < len(dead_letters):
            yield dead_letters[start:]

    async def make_room(self, added: Sequence[DeadLetter]) -> None:
        """Call this after these dead letters were added. Checks the stream only after enough
        bytes were added. Raises ServiceUnavailable; the next call then checks the stream."""
        self._added += sum(len(dead_letter.event) + _OVERHEAD_BYTES for dead_letter in added)
        if self._added < self._free:
            return
        fitting = self._max_bytes // _LARGEST_BYTES
        limits = self._max_bytes, self._free, _BYTES_PER_CALL, fitting
        more = True
        while more:
            (reply,) = await self._wire.ask(("EVAL", _MAKE_ROOM, 2, DEAD, DEAD_DROPPED, *limits))
            more = bool(checked(reply))
        self._added = 0
