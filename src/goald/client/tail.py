"""Reads along a stream without taking anything from anybody."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from goald.client.connection import TIMEOUT_S, Connection, own_connection
from goald.domain.errors import ServiceUnavailable
from goald.redis_keys import DEAD, EXITS, FIELD, NOTICES

_PAGE = 500
_BLOCK_MS = 1_000
_LAST = 10
_SHORT_NAMES = {"exits": EXITS, "notices": NOTICES, "dead": DEAD}


@dataclass(frozen=True, slots=True)
class TailedEntry:
    """An entry of a stream, as it is there."""

    id: str
    fields: dict[str, bytes]

    @property
    def event(self) -> Any:
        """The event in it, parsed; of an exit or notice always a map. Raises ValueError
        where it is not JSON, as an event among the dead letters may be."""
        return json.loads(self.fields[FIELD])


async def tail(
    redis: str | Connection,
    stream: str,
    *,
    from_start: bool = False,
    follow: bool = True,
    count: int | None = None,
) -> AsyncGenerator[TailedEntry, None]:
    """The entries of `exits`, `notices`, `dead` or any stream by its key, in order.

    From the oldest kept with `from_start`; else those added from now on, or, where it does
    not `follow`, the last `count` (10). Ends after `count`, or, where it does not follow,
    with the last entry there is. Raises ServiceUnavailable where Redis is gone.
    """
    connection = own_connection(redis)
    key = _SHORT_NAMES.get(stream, stream)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            after = await _start(connection, key, from_start, follow, count)
        left = count
        while left is None or left > 0:
            page = _PAGE if left is None else min(_PAGE, left)
            block = _BLOCK_MS if follow else None
            async with asyncio.timeout(TIMEOUT_S):
                reply = await connection.xread({key: after}, count=page, block=block)
            for entry_id, fields in reply[0][1] if reply else []:
                after = entry_id
                left = None if left is None else left - 1
                yield TailedEntry(
                    entry_id.decode(), {name.decode(): value for name, value in fields.items()}
                )
            if not reply and not follow:
                return
    except (RedisError, OSError) as error:
        raise ServiceUnavailable(f"{key} cannot be read: {error}") from error
    finally:
        await connection.aclose()


async def _start(
    connection: Connection, key: str, from_start: bool, follow: bool, count: int | None
) -> bytes:
    """The id after which to read."""
    if from_start:
        return b"0-0"
    if follow:
        last = await connection.xrevrange(key, count=1)
        return bytes(last[0][0]) if last else b"0-0"
    wanted = _LAST if count is None else count
    # One more than wanted, to begin after it.
    last = await connection.xrevrange(key, count=wanted + 1)
    return bytes(last[-1][0]) if len(last) > wanted else b"0-0"
