"""One event stream in Redis, read under a lease."""

from typing import Any

from goald.adapters.redis_streams.guarded import GuardedWire
from goald.adapters.redis_streams.wire import Wire, checked
from goald.domain.errors import LeaseLost
from goald.domain.leases import StreamLease
from goald.domain.streams import GROUP
from goald.ports import RawEntry

_CLAIM = """
local held = redis.call('GET', KEYS[1])
if held and tonumber(held) > tonumber(ARGV[1]) then return held end
if held ~= ARGV[1] then redis.call('SET', KEYS[1], ARGV[1]) end
return false
"""
"""Sets the epoch unless a later one is there, which it then returns."""


class RedisEventStream:
    """`ports.EventStream` over Redis.

    To read is a plain XREAD, to acknowledge is to move the group's position; both only while
    the stream's epoch is ours. Nothing is ever pending in Redis (decision 0010). Reading,
    waiting and acknowledging have a connection each and may go on at once. Bound to one
    event loop.
    """

    def __init__(self, url: str, stream: str, *, timeout: float = 10.0) -> None:
        """`stream`: the key, `goald:events:{p}`. `timeout`: seconds for one call. Does not
        connect."""
        self._name = stream
        partition = stream.rsplit(":", 1)[-1]
        self._epoch_key = f"goald:epoch:{partition}"
        self._timeout = timeout
        self._wire = Wire(url, timeout=timeout)
        self._reader = GuardedWire(url, self._epoch_key, timeout=timeout)
        self._acknowledger = GuardedWire(url, self._epoch_key, timeout=timeout)
        self._lease: StreamLease | None = None
        self._acknowledged: int | None = None

    @property
    def name(self) -> str:
        return self._name

    async def claim(self, lease: StreamLease) -> bytes:
        """Claiming twice with the same lease is harmless."""
        # That the group is there already is no fault; any other shows in the replies after.
        claimed, _, groups, stream = await self._wire.ask(
            ("EVAL", _CLAIM, 1, self._epoch_key, lease.epoch),
            ("XGROUP", "CREATE", self._name, GROUP, "0", "MKSTREAM"),
            ("XINFO", "GROUPS", self._name),
            ("XINFO", "STREAM", self._name),
        )
        later = checked(claimed)
        if later is not None:
            raise LeaseLost(f"{self._name}: epoch {later.decode()} has it, not {lease.epoch}")
        group = next(
            found for found in map(_named, checked(groups)) if found[b"name"] == GROUP.encode()
        )
        position: bytes = group[b"last-delivered-id"]
        self._acknowledged = _entries_before(position, group, _named(checked(stream)))
        self._lease = lease
        return position

    async def read(self, after: bytes, count: int) -> list[RawEntry]:
        command = ("XREAD", "COUNT", count, "STREAMS", self._name, after)
        (reply,) = await self._reader.ask(self._epoch(), command)
        streams = checked(reply)
        return streams[0][1] if streams else []

    async def wait(self, after: bytes, seconds: float) -> bool:
        milliseconds = max(1, int(seconds * 1000))  # 0 would be for ever
        command = ("XREAD", "COUNT", 1, "BLOCK", milliseconds, "STREAMS", self._name, after)
        (reply,) = await self._wire.ask(command, within=seconds + self._timeout)
        return checked(reply) is not None

    async def acknowledge(self, up_to: bytes, entries: int) -> None:
        total = None if self._acknowledged is None else self._acknowledged + entries
        counted = () if total is None else ("ENTRIESREAD", total)
        _, moved = await self._acknowledger.ask(
            self._epoch(),
            # Refused where the group is there, which is always but after its removal.
            ("XGROUP", "CREATE", self._name, GROUP, "0", "MKSTREAM"),
            ("XGROUP", "SETID", self._name, GROUP, up_to, *counted),
        )
        checked(moved)
        self._acknowledged = total

    async def close(self) -> None:
        for wire in (self._wire, self._reader, self._acknowledger):
            await wire.close()

    def _epoch(self) -> int:
        if self._lease is None:
            raise LeaseLost(f"{self._name} was not claimed")
        return self._lease.epoch


def _named(flat: list[Any]) -> dict[bytes, Any]:
    """What XINFO tells, by name."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _entries_before(
    position: bytes, group: dict[bytes, Any], stream: dict[bytes, Any]
) -> int | None:
    """How many entries were ever added up to a group's position: from it Redis tells the lag.
    None where it cannot be known: Redis before 7, or entries deleted here and there."""
    if b"entries-added" not in stream:
        return None
    if group[b"entries-read"] is not None and position != b"0-0":
        return int(group[b"entries-read"])
    first = stream[b"first-entry"]
    if first is None or _order(first[0]) > _order(position):
        return int(stream[b"entries-added"]) - int(stream[b"length"])
    return None


def _order(entry_id: bytes) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(milliseconds), int(sequence or b"0")
