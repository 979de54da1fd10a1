"""One event stream in Redis, read under a lease."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from goald.adapters.redis_streams.wire import Command, Wire, checked, code_of
from goald.domain.errors import LeaseLost
from goald.domain.leases import StreamLease
from goald.domain.streams import GROUP
from goald.ports import RawEntry

_log = logging.getLogger(__name__)

_CLAIM = """
local held = redis.call('GET', KEYS[1])
if held and tonumber(held) > tonumber(ARGV[1]) then return held end
if held ~= ARGV[1] then redis.call('SET', KEYS[1], ARGV[1]) end
return false
"""
"""Sets the epoch unless a later one is there, which it then returns."""

_IDS_PER_COMMAND = 1_000


class RedisEventStream:
    """`ports.EventStream` over Redis.

    A read is a transaction under WATCH on the stream's epoch, so it happens only while the
    epoch is the one last seen; the WATCH and GET for the next read travel behind it, so a
    read is one round trip (decision 0010). Reading, waiting and acknowledging have a
    connection each and may go on at once. Bound to one event loop.
    """

    def __init__(self, url: str, stream: str, *, timeout: float = 10.0) -> None:
        """`stream`: the key, `goald:events:{p}`. `timeout`: seconds for one call. Does not
        connect."""
        self._name = stream
        partition = stream.rsplit(":", 1)[-1]
        self._epoch_key = f"goald:epoch:{partition}"
        self._consumer = f"stream-{partition}"
        self._timeout = timeout
        self._reader = Wire(url, timeout=timeout)
        self._waiter = Wire(url, timeout=timeout)
        self._acknowledger = Wire(url, timeout=timeout)
        self._reading = asyncio.Lock()
        self._lease: StreamLease | None = None
        self._watched: bytes | None = None
        self._seen = b"0-0"
        self._woken = False
        self.groups_made_again = 0
        """How often the group was found missing after the claim."""

    @property
    def name(self) -> str:
        return self._name

    async def claim(self, lease: StreamLease) -> None:
        """Claiming twice with the same lease is harmless."""
        async with self._reading:
            replies = await self._reader.ask(("EVAL", _CLAIM, 1, self._epoch_key, lease.epoch))
            later = checked(replies[0])
            if later is not None:
                raise LeaseLost(f"{self._name}: epoch {later.decode()} has it, not {lease.epoch}")
            await self._make_group()
            self._lease = lease
            self._seen = await self._last_delivered()

    async def read_pending(self, after: bytes, count: int) -> list[RawEntry]:
        """An entry that was trimmed before it was acknowledged comes as `[id, None]`."""
        async with self._reading:
            return await self._read(after, count)

    async def read_new(self, count: int) -> list[RawEntry]:
        async with self._reading:
            entries = await self._read(b">", count)
            if entries:
                self._seen = entries[-1][0]
            elif self._woken:
                # What ended the wait is not for us: somebody has moved the group past it.
                self._seen = await self._last_delivered()
            self._woken = False
            return entries

    async def wait(self, seconds: float) -> bool:
        milliseconds = max(1, int(seconds * 1000))  # 0 would be for ever
        command = ("XREAD", "COUNT", 1, "BLOCK", milliseconds, "STREAMS", self._name, self._seen)
        replies = await self._waiter.ask(command, within=seconds + self._timeout)
        self._woken = checked(replies[0]) is not None
        return self._woken

    async def acknowledge(self, ids: Sequence[bytes]) -> None:
        if not ids:
            return
        commands: list[Command] = [
            ("XACK", self._name, GROUP, *ids[start : start + _IDS_PER_COMMAND])
            for start in range(0, len(ids), _IDS_PER_COMMAND)
        ]
        for reply in await self._acknowledger.ask(*commands):
            checked(reply)

    async def close(self) -> None:
        for wire in (self._reader, self._waiter, self._acknowledger):
            await wire.close()

    async def _read(self, position: bytes, count: int) -> list[RawEntry]:
        lease = self._lease
        if lease is None:
            raise LeaseLost(f"{self._name} was not claimed")
        mine = b"%d" % lease.epoch
        key = self._epoch_key
        group = ("XREADGROUP", "GROUP", GROUP, self._consumer)
        read = (*group, "COUNT", count, "STREAMS", self._name, position)
        while True:
            # Forgotten until the reply is here: an interrupted call has lost its connection,
            # and with it the WATCH.
            epoch, self._watched = self._watched, None
            if epoch is None:
                epoch = checked((await self._reader.ask(("WATCH", key), ("GET", key)))[1])
            if epoch != mine:
                held = "none" if epoch is None else epoch.decode()
                raise LeaseLost(f"{self._name}: the epoch is {held}, not {lease.epoch}")
            replies = await self._reader.ask(
                ("MULTI",), read, ("EXEC",), ("WATCH", key), ("GET", key)
            )
            checked(replies[1])
            answer = checked(replies[2])
            self._watched = checked(replies[4])
            if answer is None:
                continue  # The epoch was written since; what it is now came along.
            found = answer[0]
            if isinstance(found, Exception) and code_of(found) == "NOGROUP":
                self.groups_made_again += 1
                _log.warning("%s: group %s is gone; it is made again", self._name, GROUP)
                await self._make_group()
                self._seen = b"0-0"
                continue
            entries = checked(found)
            return entries[0][1] if entries else []

    async def _make_group(self) -> None:
        command = ("XGROUP", "CREATE", self._name, GROUP, "0", "MKSTREAM")
        (reply,) = await self._reader.ask(command)
        if not (isinstance(reply, Exception) and code_of(reply) == "BUSYGROUP"):
            checked(reply)

    async def _last_delivered(self) -> bytes:
        """The id that the group has come to; of a missing group, the first there is."""
        (reply,) = await self._reader.ask(("XINFO", "GROUPS", self._name))
        for fields in [] if isinstance(reply, Exception) else reply:
            group: dict[bytes, Any] = dict(zip(fields[::2], fields[1::2], strict=True))
            if group[b"name"] == GROUP.encode():
                found: bytes = group[b"last-delivered-id"]
                return found
        return b"0-0"
