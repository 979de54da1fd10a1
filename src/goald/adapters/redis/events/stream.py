"""One event stream in Redis, read under a lease."""

from typing import Any

from goald.adapters.redis.events.accounting import Account
from goald.adapters.redis.events.entry_ids import order
from goald.adapters.redis.events.guarded import GuardedWire, run_id
from goald.domain.errors import LeaseLost, ServerReplaced
from goald.domain.leases import StreamLease
from goald.ports.event_stream import RawEntry, ReaderStart
from goald.redis_keys import GROUP, attempts_key, epoch_key
from goald.redis_wire import Command, Wire, checked

_FENCE = """
local current = redis.call('GET', KEYS[1])
if current and tonumber(current) > tonumber(ARGV[1]) then return current end
if current ~= ARGV[1] then redis.call('SET', KEYS[1], ARGV[1]) end
return false
"""
"""Sets the epoch unless a later one is stored, which it then returns."""

_COUNT = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[2], ARGV[3], 0)
end
return {redis.call('HINCRBY', KEYS[1], ARGV[3], 1), redis.call('HEXISTS', KEYS[1], 'entry')}
"""
"""Increments a counter. Resets it first if the value that it belongs to has changed."""


class RedisEventStream:
    """`ports.EventStream` over Redis.

    It reads with a plain XREAD and acknowledges by moving the position of the group, both only
    while the stored epoch is that of the lease. The group has no pending entries (decision
    0010). Reading, waiting and acknowledging use separate connections and may run concurrently.
    Bound to one event loop.
    """

    def __init__(self, url: str, stream: str, *, timeout: float = 10.0) -> None:
        """`stream`: the key, `goald:events:{p}`. `timeout`: seconds for a call. Does not
        connect."""
        self._name = stream
        self._epoch_key = epoch_key(stream)
        self._attempts_key = attempts_key(stream)
        self._timeout = timeout
        self._wire = Wire(url, timeout=timeout)
        self._reader = GuardedWire(url, self._epoch_key, timeout=timeout)
        self._acknowledger = GuardedWire(url, self._epoch_key, timeout=timeout)
        self._lease: StreamLease | None = None
        self._account = Account()
        self._position = b"0-0"
        """The acknowledged position."""
        self._requested_position = b"0-0"
        """The acknowledged position after the last requested acknowledgement."""
        self._read_at_ms = 0

    @property
    def name(self) -> str:
        return self._name

    @property
    def read_at_ms(self) -> int:
        return self._read_at_ms

    async def epoch(self) -> int:
        (current,) = await self._wire.ask(("GET", self._epoch_key))
        return int(checked(current) or 0)

    async def fence(self, lease: StreamLease) -> bytes:
        """As `ports.EventStream.fence`; sent in one write."""
        # The group may exist already. Any other error also shows in the following replies.
        fenced, _, groups, stream, server = await self._wire.ask(
            ("EVAL", _FENCE, 1, self._epoch_key, lease.epoch),
            ("XGROUP", "CREATE", self._name, GROUP, "0", "MKSTREAM"),
            ("XINFO", "GROUPS", self._name),
            ("XINFO", "STREAM", self._name),
            ("INFO", "server"),
        )
        later = checked(fenced)
        if later is not None:
            raise LeaseLost(f"{self._name}: fenced by epoch {later.decode()}, not {lease.epoch}")
        group, about = _group(checked(groups)), _fields(checked(stream))
        if group is None:
            raise ServerReplaced(f"the group of {self._name} was removed")
        self._lease = lease
        for wire in (self._reader, self._acknowledger):
            wire.expect(run_id(server))
        # A group that is ahead of its stream would skip new entries.
        position: bytes = min(group[b"last-delivered-id"], about[b"last-generated-id"], key=order)
        total = self._account.begin(position, group, about)
        self._position = self._requested_position = position
        counted = () if total is None else ("ENTRIESREAD", total)
        (moved,) = await self._acknowledger.ask(
            lease.epoch, ("XGROUP", "SETID", self._name, GROUP, position, *counted)
        )
        checked(moved)
        return position

    async def read(self, after: bytes, count: int) -> list[RawEntry]:
        command = ("XREAD", "COUNT", count, "STREAMS", self._name, after)
        time, reply = await self._reader.ask(self._epoch(), ("TIME",), command)
        streams = checked(reply)
        seconds, microseconds = checked(time)
        self._read_at_ms = int(seconds) * 1_000 + int(microseconds) // 1_000
        if not streams:
            return []
        entries: list[RawEntry] = streams[0][1]
        self._account.has_read(after, len(entries), entries[-1][0])
        return entries

    async def wait(self, after: bytes, seconds: float) -> bool:
        milliseconds = max(1, int(seconds * 1000))  # 0 would block without a limit
        command = ("XREAD", "COUNT", 1, "BLOCK", milliseconds, "STREAMS", self._name, after)
        (reply,) = await self._wire.ask(command, within=seconds + self._timeout)
        return checked(reply) is not None

    async def acknowledge(self, up_to: bytes, entries: int) -> None:
        total = self._account.up_to(up_to, entries)
        counted = () if total is None else ("ENTRIESREAD", total)
        self._requested_position = up_to
        _, moved = await self._acknowledger.ask(
            self._epoch(),
            # Fails if the group exists, which it does unless it was removed.
            ("XGROUP", "CREATE", self._name, GROUP, "0", "MKSTREAM"),
            ("XGROUP", "SETID", self._name, GROUP, up_to, *counted),
        )
        checked(moved)
        self._position = up_to
        self._account.has_acknowledged(up_to, total)

    async def count_lost(self, after: bytes) -> int:
        least = self._position
        replies = await self._reader.ask(
            self._epoch(), ("XINFO", "STREAM", self._name), ("XINFO", "GROUPS", self._name)
        )
        if any(isinstance(reply, Exception) for reply in replies):
            raise ServerReplaced(f"{self._name} was removed")
        stream, group = _fields(replies[0]), _group(replies[1])
        if group is None:
            raise ServerReplaced(f"the group of {self._name} was removed")
        if order(stream[b"last-generated-id"]) < order(after):
            raise ServerReplaced(f"{self._name} ends before the last entry that was read")
        # An acknowledgement may be in flight, or its reply lost.
        if (
            not order(least)
            <= order(group[b"last-delivered-id"])
            <= order(self._requested_position)
        ):
            raise ServerReplaced(f"the group of {self._name} was moved")
        return self._account.missing(after, stream)

    async def count_start(self) -> ReaderStart:
        times, is_trying = await self._count("position", self._position, "starts")
        return ReaderStart(times, bool(is_trying))

    async def count_attempt(self, entry_id: bytes) -> int:
        return (await self._count("entry", entry_id, "attempts"))[0]

    async def clear_attempts(self) -> None:
        checked(await self._change(("HDEL", self._attempts_key, "entry", "attempts")))

    async def clear_starts(self) -> None:
        checked(await self._change(("DEL", self._attempts_key)))

    async def close(self) -> None:
        for wire in (self._wire, self._reader, self._acknowledger):
            await wire.close()

    def _epoch(self) -> int:
        if self._lease is None:
            raise LeaseLost(f"{self._name} is not fenced")
        return self._lease.epoch

    async def _count(self, of: str, what: bytes, field: str) -> tuple[int, int]:
        counted = await self._change(("EVAL", _COUNT, 1, self._attempts_key, of, what, field))
        times, is_trying = checked(counted)
        return times, is_trying

    async def _change(self, command: Command) -> Any:
        (reply,) = await self._acknowledger.ask(self._epoch(), command)
        return reply


def _group(groups: list[list[Any]]) -> dict[bytes, Any] | None:
    fields = map(_fields, groups)
    return next((group for group in fields if group[b"name"] == GROUP.encode()), None)


def _fields(flat: list[Any]) -> dict[bytes, Any]:
    """The fields of an XINFO reply by name."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
