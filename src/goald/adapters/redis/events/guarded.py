"""Commands that Redis carries out only while an epoch is ours, and it is the same Redis."""

import asyncio
from typing import Any

from goald.adapters.redis.wire import Command, Wire, checked
from goald.domain.errors import LeaseLost, ServerReplaced


class GuardedWire:
    """A connection whose commands are atomic with the check of an epoch (D3; decision 0010).

    They go in a transaction under WATCH on the epoch's key, which does nothing if the key was
    written since it was last seen. The WATCH and GET for the next one travel behind it, so it
    costs one round trip. What interrupts a call closes the connection, and with it the WATCH.

    A server that was started anew has closed the connection, too: so the first call of each
    connection asks for the server's run id, and no later one has to (D10).
    """

    def __init__(self, url: str, key: str, *, timeout: float) -> None:
        """`key`: where the epoch is. Does not connect."""
        self._wire = Wire(url, timeout=timeout)
        self._key = key
        self._asking = asyncio.Lock()
        self._watched: bytes | None = None
        self._run_id: bytes | None = None

    def expect(self, run_id: bytes | None) -> None:
        """From now on the server is the one of this run id; None: whichever answers."""
        self._run_id = run_id
        self._watched = None

    async def ask(self, epoch: int, *commands: Command) -> list[Any]:
        """The replies, errors of single commands among them as values.

        Having done nothing, raises LeaseLost if the key holds a later epoch, and
        ServerReplaced if it holds an older one or none, or if it is another server.
        """
        mine = b"%d" % epoch
        watch: tuple[Command, ...] = (("WATCH", self._key), ("GET", self._key))
        async with self._asking:
            while True:
                # Forgotten until the reply is here: an interrupted call has lost its
                # connection, and with it the WATCH.
                held, self._watched = self._watched, None
                if held != mine:  # not seen yet, or claimed since
                    seen = await self._wire.ask(*watch, ("INFO", "server"))
                    self._recognise(seen[2])
                    held = checked(seen[1])
                if held != mine:
                    raise self._not_ours(held, epoch)
                replies = await self._wire.ask(("MULTI",), *commands, ("EXEC",), *watch)
                for queued in replies[: len(commands) + 1]:
                    checked(queued)
                answers = checked(replies[len(commands) + 1])
                self._watched = checked(replies[-1])
                if answers is not None:
                    return list(answers)
                # The epoch was written since; what it is now came along.

    async def close(self) -> None:
        await self._wire.close()

    def _recognise(self, info: Any) -> None:
        found = run_id(info)
        if self._run_id is not None and found is not None and found != self._run_id:
            raise ServerReplaced("Redis was started anew, or is another")

    def _not_ours(self, held: bytes | None, epoch: int) -> LeaseLost | ServerReplaced:
        if held is not None and int(held) > epoch:
            return LeaseLost(f"{self._key} is {held.decode()}, not {epoch}")
        found = "none" if held is None else held.decode()
        return ServerReplaced(f"Redis has less than it had: {self._key} is {found}, not {epoch}")


def run_id(info: Any) -> bytes | None:
    """What `INFO server` says of this run of the server; None where it may not be asked."""
    if not isinstance(info, bytes):
        return None
    for line in info.splitlines():
        name, _, value = line.partition(b":")
        if name == b"run_id":
            return value
    return None
