"""Commands that Redis carries out only while an epoch is ours."""

import asyncio
from typing import Any

from goald.adapters.redis_streams.wire import Command, Wire, checked
from goald.domain.errors import LeaseLost


class GuardedWire:
    """A connection whose commands are atomic with the check of an epoch (D3; decision 0010).

    They go in a transaction under WATCH on the epoch's key, which does nothing if the key was
    written since it was last seen. The WATCH and GET for the next one travel behind it, so it
    costs one round trip. What interrupts a call closes the connection, and with it the WATCH.
    """

    def __init__(self, url: str, key: str, *, timeout: float) -> None:
        """`key`: where the epoch is. Does not connect."""
        self._wire = Wire(url, timeout=timeout)
        self._key = key
        self._asking = asyncio.Lock()
        self._watched: bytes | None = None

    async def ask(self, epoch: int, *commands: Command) -> list[Any]:
        """The replies, errors of single commands among them as values. Raises LeaseLost,
        having done nothing, if the key holds another epoch or none."""
        mine = b"%d" % epoch
        watch: tuple[Command, ...] = (("WATCH", self._key), ("GET", self._key))
        async with self._asking:
            while True:
                # Forgotten until the reply is here: an interrupted call has lost its
                # connection, and with it the WATCH.
                held, self._watched = self._watched, None
                if held != mine:  # not seen yet, or claimed since
                    held = checked((await self._wire.ask(*watch))[1])
                if held != mine:
                    found = "none" if held is None else held.decode()
                    raise LeaseLost(f"{self._key} is {found}, not {epoch}")
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
