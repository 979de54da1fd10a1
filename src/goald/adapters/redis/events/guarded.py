"""Commands that Redis executes only while it holds the expected epoch and is the same server."""

import asyncio
from typing import Any

from goald.domain.errors import LeaseLost, ServerReplaced
from goald.redis_wire import Command, Wire, checked


class GuardedWire:
    """A connection whose commands are atomic with the check of an epoch (D3; decision 0010).

    A call executes its commands in a transaction under WATCH on the epoch's key. The transaction
    fails if the key was written after its last read. The WATCH and GET for the next call follow
    in the same write, so a call costs one round trip. An interrupted call closes the connection,
    which ends the WATCH.

    A server that restarts closes its connections. Only the first call on each connection
    therefore compares the server's run id (D10).
    """

    def __init__(self, url: str, key: str, *, timeout: float) -> None:
        """`key`: the key that holds the epoch. Does not connect."""
        self._wire = Wire(url, timeout=timeout)
        self._key = key
        self._busy = asyncio.Lock()
        self._watched: bytes | None = None
        self._run_id: bytes | None = None

    def expect(self, run_id: bytes | None) -> None:
        """Expect the server with this run id from now on; None accepts any server."""
        self._run_id = run_id
        self._watched = None

    async def ask(self, epoch: int, *commands: Command) -> list[Any]:
        """The replies; the error of a single command is returned as a value.

        Raises LeaseLost if the key holds a later epoch, and ServerReplaced if it holds an earlier
        epoch or none, or if the server is another one. No command is executed then.
        """
        expected = b"%d" % epoch
        watch: tuple[Command, ...] = (("WATCH", self._key), ("GET", self._key))
        async with self._busy:
            while True:
                # Unknown until the reply arrives, because an interrupted call loses its
                # connection and with it the WATCH.
                current, self._watched = self._watched, None
                if current != expected:  # not read yet, or fenced since
                    watch_replies = await self._wire.ask(*watch, ("INFO", "server"))
                    self._recognise(watch_replies[2])
                    current = checked(watch_replies[1])
                if current != expected:
                    raise self._epoch_error(current, epoch)
                replies = await self._wire.ask(("MULTI",), *commands, ("EXEC",), *watch)
                for queued in replies[: len(commands) + 1]:
                    checked(queued)
                answers = checked(replies[len(commands) + 1])
                self._watched = checked(replies[-1])
                if answers is not None:
                    return list(answers)
                # The epoch was written since. The reply to GET is its new value.

    async def close(self) -> None:
        await self._wire.close()

    def _recognise(self, info: Any) -> None:
        found = run_id(info)
        if self._run_id is not None and found is not None and found != self._run_id:
            raise ServerReplaced("Redis was restarted or replaced")

    def _epoch_error(self, current: bytes | None, epoch: int) -> LeaseLost | ServerReplaced:
        if current is not None and int(current) > epoch:
            return LeaseLost(f"{self._key} is {current.decode()}, not {epoch}")
        found = "none" if current is None else current.decode()
        return ServerReplaced(f"Redis lost data: {self._key} is {found}, not {epoch}")


def run_id(info: Any) -> bytes | None:
    """The run id in the reply to `INFO server`; None if the login may not call it."""
    if not isinstance(info, bytes):
        return None
    for line in info.splitlines():
        name, _, value = line.partition(b":")
        if name == b"run_id":
            return value
    return None
