"""Ids of stream entries, `milliseconds-sequence`."""

LUA_LESS = """
local function less(one, other)
  local a, b = {string.match(one, '(%d+)-(%d+)')}, {string.match(other, '(%d+)-(%d+)')}
  for i = 1, 2 do
    if a[i] ~= b[i] then return #a[i] < #b[i] or (#a[i] == #b[i] and a[i] < b[i]) end
  end
  return false
end
"""
"""The function `less(id, id)` for Lua scripts, which cannot compare ids of 64 bits as numbers."""


def order(entry_id: bytes) -> tuple[int, int]:
    """The sort key of an id. Ids compared as text are out of order."""
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(milliseconds), int(sequence or b"0")
