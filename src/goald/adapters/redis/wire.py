"""One connection to Redis that can never take one command's reply for another's."""

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

_REFUSALS = (ReadOnlyError, OutOfMemoryError, ClusterDownError)
_REFUSAL_CODES = frozenset({"MISCONF", "NOREPLICAS", "BUSY", "UNBLOCKED"})
"""Redis will not write now, or serves nobody for a script, or has become a replica under a wait;
redis-py has no type for these."""


def code_of(error: Exception) -> str:
    """The code that begins a Redis error, such as `NOGROUP`, where redis-py has no type
    for it and so leaves it at the head of the text."""
    return str(error).split(" ", 1)[0]


def is_refusal(error: Exception) -> bool:
    """Whether the server is there, but full, read-only, or unable to keep what it is given."""
    return isinstance(error, _REFUSALS) or code_of(error) in _REFUSAL_CODES


def checked(reply: Any) -> Any:
    """A reply that is not an error. Raises ServiceUnavailable for a refusal, and any other
    error as it is: it is a fault of ours or of the server's set-up."""
    if isinstance(reply, Exception):
        if is_refusal(reply):
            raise ServiceUnavailable(f"Redis refuses: {reply}") from reply
        raise reply
    return reply


class Wire:
    """Sends commands in one write and gives back their replies, raw: bytes, integers, lists.

    redis-py opens the connection (URL, TLS, passwords); its callbacks, which would make
    Python objects of every entry, are left out. RESP 2, so that replies have one shape.

    A call that is cancelled, times out or fails drops the connection, and the next call
    opens another: a late reply has nowhere to go. Calls wait for each other. Bound to one
    event loop.
    """

    def __init__(self, url: str, *, timeout: float = 10.0) -> None:
        """`url`: redis://, rediss:// or unix://. `timeout`: seconds for a call, connecting
        included. Does not connect."""
        self._pool = ConnectionPool.from_url(url)
        self._pool.connection_kwargs.update(
            protocol=2, decode_responses=False, socket_timeout=None, socket_connect_timeout=timeout
        )
        self._timeout = timeout
        self._connection: Any = None
        self._busy = asyncio.Lock()

    async def ask(self, *commands: Command, within: float | None = None) -> list[Any]:
        """The reply to each command, in their order, in at most `within` seconds (else those
        given to the constructor). An error reply comes back as an exception, in its
        place. Raises ServiceUnavailable where no full set of replies came; the commands
        may have been carried out all the same."""
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
        """Close the connection. A later call would open another."""
        async with self._busy:
            await self._drop()
