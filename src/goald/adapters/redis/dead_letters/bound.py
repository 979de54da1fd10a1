"""The bound of `goald:dead`, in bytes (D5)."""

from collections.abc import Iterator, Sequence

from goald.adapters.redis.wire import Wire, checked
from goald.ports.outbound import DeadLetter
from goald.redis_keys import DEAD, DEAD_DROPPED

_STEP = 16
"""A sixteenth of the bound may come between two looks, and is made free by one."""
_OVERHEAD_BYTES = 200
"""What an entry takes beside its event, about."""
_LARGEST_BYTES = 66_000
"""Of an entry whose event is as large as may be (D9)."""
_AT_ONCE_BYTES = 8 << 20
"""What one step takes out, about: Redis serves nobody else meanwhile."""
_LETTERS = 1_000

_MAKE_ROOM = """
local bound, free, at_once = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local length = redis.call('XLEN', KEYS[1])
local dropped, more = 0, 0
local size = redis.pcall('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', 0)
if type(size) == 'table' then
  dropped = redis.call('XTRIM', KEYS[1], 'MAXLEN', ARGV[4])
elseif size and size > bound then
  local excess, after = size - bound + free, '-'
  local least = math.min(excess, at_once)
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
"""Takes the oldest letters out where all of them together take more than the bound, and counts
them; 1 where it is to be called again. A server that does not tell how much memory a key takes
is held to a number of letters that fits if each is as large as may be. To take out is allowed
where Redis is full; to count is not, and is left."""


class DeadBound:
    """Keeps `goald:dead` to a number of bytes, about: those of Redis' memory."""

    def __init__(self, wire: Wire, max_bytes: int) -> None:
        self._wire = wire
        self._max_bytes = max_bytes
        self._free = max_bytes // _STEP
        self._buried = self._free  # so that what was there before is looked at too

    def parts(self, letters: Sequence[DeadLetter]) -> Iterator[Sequence[DeadLetter]]:
        """The letters in parts, in order, that may come between two looks."""
        start = size = 0
        for number, letter in enumerate(letters):
            size += len(letter.event)
            if size >= self._free or number - start + 1 >= _LETTERS:
                yield letters[start : number + 1]
                start, size = number + 1, 0
        if start < len(letters):
            yield letters[start:]

    async def make_room(self, buried: Sequence[DeadLetter]) -> None:
        """To be called when these are buried. Looks only now and then. Raises
        ServiceUnavailable; the next call looks then."""
        self._buried += sum(len(letter.event) + _OVERHEAD_BYTES for letter in buried)
        if self._buried < self._free:
            return
        fitting = self._max_bytes // _LARGEST_BYTES
        limits = self._max_bytes, self._free, _AT_ONCE_BYTES, fitting
        more = True
        while more:
            (reply,) = await self._wire.ask(("EVAL", _MAKE_ROOM, 2, DEAD, DEAD_DROPPED, *limits))
            more = bool(checked(reply))
        self._buried = 0
