"""Closes the connections of a process within a deadline."""

import asyncio
import contextlib
from typing import Protocol

from redis.exceptions import RedisError

from goald.domain.errors import GoaldError

CLOSE_SECONDS = 1.0
"""For all connections together, so that a server that does not answer delays no restart."""


class Closable(Protocol):
    """An object with a connection."""

    async def close(self) -> None: ...


async def close_all(*connections: Closable) -> None:
    """Close each connection, in this order, whether or not the others can be closed. Cancels a
    close that exceeds the deadline."""
    deadline = asyncio.get_running_loop().time() + CLOSE_SECONDS
    for connection in connections:
        with contextlib.suppress(GoaldError, RedisError, OSError):
            async with asyncio.timeout_at(deadline):
                await connection.close()
