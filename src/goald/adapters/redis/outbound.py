"""Exits, notices and dead letters, appended to their streams in Redis."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from redis.exceptions import NoPermissionError, RedisError

from goald.adapters.redis.dead_letters.bound import DeadBound
from goald.domain.errors import ServiceUnavailable
from goald.domain.records.event_tenant import event_tenant
from goald.domain.slots import SlotRange
from goald.domain.streams import OutboundStream
from goald.domain.times import rfc3339
from goald.ports.clock import Clock
from goald.ports.outbound import DeadLetter, Message, PublishedWatermark, ServerIdentity
from goald.redis_keys import DEAD, FIELD, OUTBOUND, SERVER_IDENTITY, watermark_key
from goald.redis_wire import Command, Wire

_MESSAGES_PER_WRITE = 1_000
_BYTES_PER_WRITE = 4 << 20
_BOUNDS: dict[OutboundStream, Command] = {OutboundStream.CONTROL: ("MAXLEN", "~", 10_000)}
"""Streams whose oldest entries are trimmed when a message is added, because only waiting readers
use them."""

_CONFIRM = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
local before = tonumber(redis.call('GET', KEYS[2]) or '0')
if before < tonumber(ARGV[4]) then redis.call('SET', KEYS[2], ARGV[4]) end
return 1
"""


class RedisOutbound:
    """`ports.Outbound` over Redis. Calls execute one after another. Bound to one event loop."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        dead_max_bytes: int = 256 << 20,
        timeout: float = 10.0,
    ) -> None:
        """`dead_max_bytes`: how much memory of Redis dead letters may use, approximately; then
        the oldest of the tenant that has most are dropped (D5, D8). Does not connect."""
        self._wire = Wire(url, timeout=timeout)
        self._clock = clock
        self._dead = DeadBound(self._wire, dead_max_bytes)

    async def publish(
        self, messages: Sequence[Message], position: PublishedWatermark | None = None
    ) -> int:
        commands: list[Command] = [
            (
                "XADD",
                OUTBOUND[message.stream],
                *_BOUNDS.get(message.stream, ()),
                "*",
                FIELD,
                message.payload,
            )
            for message in messages
        ]
        if position is not None:
            # After the messages on the same connection: a server with it has the messages.
            commands.append(("GETSET", watermark_key(position.slots), position.number))
        before = await self._append(commands)
        return int(before or 0) if position is not None else 0

    async def dead_letter(self, dead_letters: Sequence[DeadLetter]) -> None:
        at = rfc3339(self._clock.now_us())
        for batch in self._dead.batches(dead_letters):
            await self._append(
                [
                    (
                        *("XADD", DEAD, "*"),
                        *("stream", dead_letter.stream, "id", dead_letter.entry_id),
                        *("tenant", event_tenant(dead_letter.event) or ""),
                        *(FIELD, dead_letter.event),
                        *(
                            "reason",
                            dead_letter.reason,
                            "delivery_attempts",
                            dead_letter.delivery_attempts,
                            "at",
                            at,
                        ),
                    )
                    for dead_letter in batch
                ]
            )
            # An error is ignored: the dead letters are stored, and the next call trims.
            with contextlib.suppress(ServiceUnavailable):
                await self._dead.make_room(batch)

    async def server_identity(self, slots: SlotRange) -> ServerIdentity:
        info, recorded, published = await self._wire.ask(
            ("INFO", "server"),
            ("HGET", SERVER_IDENTITY, str(slots)),
            ("GET", watermark_key(slots)),
        )
        recorded = _accepted(recorded)
        return ServerIdentity(
            run_id=_run_id(info),
            recorded=recorded.decode() if recorded is not None else None,
            published=int(_accepted(published) or 0),
        )

    async def begin_republish(self, slots: SlotRange, token: str) -> None:
        (reply,) = await self._wire.ask(("HSET", SERVER_IDENTITY, str(slots), token))
        _accepted(reply)

    async def complete_republish(self, position: PublishedWatermark, token: str, name: str) -> bool:
        slots = str(position.slots)
        keys = (SERVER_IDENTITY, watermark_key(slots))
        (reply,) = await self._wire.ask(
            ("EVAL", _CONFIRM, len(keys), *keys, slots, token, name, position.number)
        )
        return bool(_accepted(reply))

    async def close(self) -> None:
        """Close the connection."""
        await self._wire.close()

    async def _append(self, commands: Sequence[Command]) -> Any:
        """Execute the commands in order, in bounded writes. Returns the last reply."""
        reply: Any = None
        for chunk in _writes(commands):
            for reply in await self._wire.ask(*chunk):
                _accepted(reply)
        return reply


def _writes(commands: Sequence[Command]) -> Iterator[list[Command]]:
    """The commands in chunks that are small enough for one write."""
    chunk: list[Command] = []
    size = 0
    for command in commands:
        if chunk and (len(chunk) >= _MESSAGES_PER_WRITE or size >= _BYTES_PER_WRITE):
            yield chunk
            chunk, size = [], 0
        chunk.append(command)
        size += max(len(part) for part in command if isinstance(part, str | bytes))
    if chunk:
        yield chunk


def _accepted(reply: Any) -> Any:
    """The reply; raises ServiceUnavailable if it is an error."""
    if isinstance(reply, RedisError):
        raise ServiceUnavailable(f"Redis rejected a message: {reply}") from reply
    return reply


def _run_id(info: bytes | Exception) -> str:
    """The run id in the reply to INFO; empty if the login may not call INFO."""
    if isinstance(info, NoPermissionError):
        return ""
    for line in _accepted(info).splitlines():
        name, _, value = line.partition(b":")
        if name == b"run_id":
            return str(value.decode())
    return ""
