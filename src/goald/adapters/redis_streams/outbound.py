"""Exits, notices and dead letters, appended to their streams in Redis."""

from collections.abc import Sequence

from redis.exceptions import RedisError

from goald.adapters.redis_streams.wire import Command, Wire
from goald.domain.errors import ServiceUnavailable
from goald.domain.streams import CONTROL, DEAD, FIELD
from goald.domain.times import rfc3339
from goald.ports import Clock, DeadLetter, Message

_MESSAGES_PER_WRITE = 1_000
_BOUNDS: dict[str, Command] = {CONTROL: ("MAXLEN", "~", 10_000)}
"""Streams whose oldest entries go: who was not there when they came has no use for them."""


class RedisOutbound:
    """`ports.Outbound` over Redis. Calls wait for each other. Bound to one event loop."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        dead_max_entries: int = 100_000,
        timeout: float = 10.0,
    ) -> None:
        """`dead_max_entries`: about how many dead letters are kept, the oldest going first
        (D5). Does not connect."""
        self._wire = Wire(url, timeout=timeout)
        self._clock = clock
        self._dead_max_entries = dead_max_entries

    async def publish(self, messages: Sequence[Message]) -> None:
        await self._append(
            [
                (
                    "XADD",
                    message.stream,
                    *_BOUNDS.get(message.stream, ()),
                    "*",
                    FIELD,
                    message.payload,
                )
                for message in messages
            ]
        )

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        at = rfc3339(self._clock.now_us())
        head = ("XADD", DEAD, "MAXLEN", "~", self._dead_max_entries, "*")
        await self._append(
            [
                (
                    *head,
                    *("stream", letter.stream, "id", letter.entry_id, FIELD, letter.event),
                    *("reason", letter.reason, "tries", letter.tries, "at", at),
                )
                for letter in letters
            ]
        )

    async def close(self) -> None:
        """Close the connection."""
        await self._wire.close()

    async def _append(self, commands: Sequence[Command]) -> None:
        for start in range(0, len(commands), _MESSAGES_PER_WRITE):
            replies = await self._wire.ask(*commands[start : start + _MESSAGES_PER_WRITE])
            for reply in replies:
                if isinstance(reply, RedisError):
                    raise ServiceUnavailable(f"Redis did not take a message: {reply}") from reply
