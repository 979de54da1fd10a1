"""The control stream in Redis: a blocking read on a dedicated connection."""

from typing import Any

from goald.redis_keys import CONTROL
from goald.redis_wire import Command, Wire, checked

_END: Command = ("XREVRANGE", CONTROL, "+", "-", "COUNT", 1)


class RedisControlStream:
    """`ports.ControlStream` over Redis. Occupies its connection while it waits. Bound to one event
    loop."""

    def __init__(self, url: str, *, timeout: float = 10.0) -> None:
        """`timeout`: seconds for a call, without its waiting time. Does not connect."""
        self._wire = Wire(url, timeout=timeout)
        self._timeout = timeout
        self._seen: bytes | None = None

    async def wait(self, seconds: float) -> None:
        # Unknown until the reply arrives, because the stream may have been replaced after an
        # error or a cancellation.
        seen, self._seen = self._seen, None
        if seen is None:
            (end,) = await self._wire.ask(_END)
        else:
            milliseconds = max(1, int(seconds * 1000))  # 0 would block without a limit
            read = ("XREAD", "COUNT", 1, "BLOCK", milliseconds, "STREAMS", CONTROL, seen)
            # The end is read in the same write, so that many changes wake the caller once.
            found, end = await self._wire.ask(read, _END, within=seconds + self._timeout)
            checked(found)
        self._seen = _id_of(checked(end))

    async def close(self) -> None:
        """Close the connection."""
        await self._wire.close()


def _id_of(entries: list[Any]) -> bytes:
    """The id of the last entry; `0-0` for an empty stream."""
    return bytes(entries[0][0]) if entries else b"0-0"
