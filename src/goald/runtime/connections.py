"""The end of a process's connections, however it ends."""

import asyncio
import contextlib
from typing import Protocol

from redis.exceptions import RedisError

from goald.domain.errors import GoaldError

CLOSE_SECONDS = 1.0
"""For all of them together. A server that does not answer must not put off a restart."""


class Closable(Protocol):
    """What holds a connection."""

    async def close(self) -> None: ...


async def close_all(*opened: Closable) -> None:
    """Close each, whatever becomes of the others. One that has no time left to take its leave
    of the server is cut off."""
    deadline = asyncio.get_running_loop().time() + CLOSE_SECONDS
    for one in opened:
        with contextlib.suppress(GoaldError, RedisError, OSError):
            async with asyncio.timeout_at(deadline):
                await one.close()
