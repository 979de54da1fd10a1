"""One connection to Redis, on which every reply belongs to its command."""

import asyncio
from typing import Any, TypeAlias

import hiredis
from redis.asyncio import ConnectionPool
from redis.exceptions import (
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from goald.domain.errors import ServiceUnavailable

Command: TypeAlias = tuple[str | bytes | int, ...]

_UNAVAILABLE = (ReadOnlyError, OutOfMemoryError, ClusterDownError)
_UNAVAILABLE_CODES = frozenset({"MISCONF", "NOREPLICAS", "BUSY", "UNBLOCKED"})
"""Redis cannot write now, is busy with a script, or became a replica during a wait. redis-py has no
types for these."""


def code_of(error: Exception) -> str:
    """The code of a Redis error, such as `NOGROUP`, for errors that redis-py has no type for."""
    return str(error).split(" ", 1)[0]


def is_unavailable(error: Exception) -> bool:
    """Whether the server is reachable, but full, read-only, or unable to persist."""
    return isinstance(error, _UNAVAILABLE) or code_of(error) in _UNAVAILABLE_CODES


def checked(reply: Any) -> Any:
    """The reply. Raises ServiceUnavailable if the server cannot serve the command now. Raises any
    other error unchanged, because it is a fault of goald or of the server's configuration."""
    if isinstance(reply, Exception):
        if is_unavailable(reply):
            raise ServiceUnavailable(f"Redis refuses: {reply}") from reply
        raise reply
    return reply


class Wire:
    """Sends commands in one write and returns their raw replies: bytes, integers, lists.

    redis-py opens the connection (URL, TLS, passwords). Its response callbacks, which would
    create Python objects for every entry, are not used. RESP 2, so that replies have one shape.

    A call that is cancelled, times out or fails closes the connection, and the next call opens
    a new one, so that a late reply is never read. Calls execute one after another. Bound to one
    event loop.
    """

    def __init__(self, url: str, *, timeout: float = 10.0) -> None:
        """`url`: redis://, rediss:// or unix://. `timeout`: seconds for a call, including
        connecting. Does not connect."""
        self._pool = ConnectionPool.from_url(url)
        self._pool.connection_kwargs.update(
            protocol=2, decode_responses=False, socket_timeout=None, socket_connect_timeout=timeout
        )
        self._timeout = timeout
        self._connection: Any = None
        self._busy = asyncio.Lock()

    async def ask(self, *commands: Command, within: float | None = None) -> list[Any]:
        """The replies to the commands, in order, within `within` seconds (default: the timeout).

        An error reply is returned as an exception in its place. Raises ServiceUnavailable if
        not all replies arrived; the commands may have been executed.
        """
        packed = b"".join([hiredis.pack_command(command) for command in commands])  # type: ignore[arg-type]
        async with self._busy:
            complete = False
            try:
                async with asyncio.timeout(self._timeout if within is None else within):
                    if self._connection is None:
                        self._connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
                        await self._connection.connect()
                    await self._connection.send_packed_command(packed, check_health=False)
                    replies = [await self._reply() for _ in commands]
                complete = True
            except (RedisError, OSError) as error:
                text = str(error) or type(error).__name__
                raise ServiceUnavailable(f"Redis cannot be reached: {text}") from error
            finally:
                if not complete:
                    await self._drop()
        return replies

    async def _reply(self) -> Any:
        try:
            return await self._connection.read_response()
        except ResponseError as error:
            return error

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    async def close(self) -> None:
        """Close the connection. A later call opens a new one."""
        async with self._busy:
            await self._drop()
