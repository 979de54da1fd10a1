"""What could not be processed: to be looked at, sent again, or thrown away (D4, `goald dead`)."""

from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from goald.adapters.redis.admin import stream_count
from goald.adapters.redis.connect import Client, service_errors
from goald.domain.errors import NotFound
from goald.domain.streams import DEFAULT_STREAMS
from goald.redis_keys import DEAD, FIELD, STREAM_COUNT, event_stream

_PAGE = 1_000

_REPLAY = """
if (redis.call('GET', KEYS[3]) or ARGV[5]) ~= ARGV[4] then return 0 end
if #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]) == 0 then return false end
local sent = redis.call('XADD', KEYS[2], '*', ARGV[2], ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[1])
return sent
"""
"""Sends nothing and gives 0 where there is another number of streams than was thought: the
stream may be one that nobody reads any more."""


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """An entry of `goald:dead`."""

    id: str
    """Its own id, by which it is shown, replayed and purged."""
    stream: str
    """The stream that it came from, and its id there."""
    entry_id: str
    event: bytes
    reason: str
    delivery_attempts: int
    at: str
    """When it was given up, RFC 3339."""


async def list_dead(
    client: Client, *, count: int = 50, after: str | None = None, newest_first: bool = False
) -> list[StoredDeadLetter]:
    """A page of dead letters, in order, beginning behind the one with id `after`."""
    async with service_errors():
        if newest_first:
            entries = await client.xrevrange(DEAD, max=f"({after}" if after else "+", count=count)
        else:
            entries = await client.xrange(DEAD, min=f"({after}" if after else "-", count=count)
    return [_letter(entry_id, fields) for entry_id, fields in entries]


async def show_dead(client: Client, letter_id: str) -> StoredDeadLetter:
    """One dead letter, by its own id. Raises NotFound."""
    try:
        async with service_errors():
            entries = await client.xrange(DEAD, min=letter_id, max=letter_id)
    except ResponseError:  # Not an id at all.
        entries = []
    if not entries:
        raise NotFound(f"there is no dead letter {letter_id}")
    return _letter(*entries[0])


async def replay_dead(client: Client, letter_id: str) -> str:
    """Send a dead letter's event to its stream again, or to another where that is no more,
    and take it out of `goald:dead`, both or neither; its new id there. Raises NotFound, also
    where another replayed it first."""
    letter = await show_dead(client, letter_id)
    sent: Any = 0
    while sent == 0:
        count = await stream_count(client)
        keys = DEAD, _stream_now(letter.stream, count), STREAM_COUNT
        arguments = letter_id, FIELD, letter.event, count, DEFAULT_STREAMS
        async with service_errors():
            sent = await client.eval(_REPLAY, len(keys), *keys, *arguments)
    if sent is None:
        raise NotFound(f"there is no dead letter {letter_id} any more")
    return str(sent.decode())


def _stream_now(stream: str, count: int) -> str:
    """One that is read: any is accepted, and a dead letter comes late in any case."""
    name, _, partition = stream.rpartition(":")
    if name == event_stream(0).rpartition(":")[0] and partition.isdecimal():
        return event_stream(int(partition) % count)
    return stream


async def purge_dead(
    client: Client, *, count: int | None = None, older_than_us: int | None = None
) -> int:
    """Throw dead letters away, the oldest first: at most `count`, only those buried before
    `older_than_us` (microseconds since the epoch); all, where neither is given. How many."""
    newest = "+" if older_than_us is None else f"({older_than_us // 1_000}-0"
    removed = 0
    while count is None or removed < count:
        page = _PAGE if count is None else min(_PAGE, count - removed)
        async with service_errors():
            entries = await client.xrange(DEAD, max=newest, count=page)
            if not entries:
                break
            removed += int(await client.xdel(DEAD, *(entry_id for entry_id, _ in entries)))
    return removed


def _letter(entry_id: bytes, fields: dict[bytes, bytes]) -> StoredDeadLetter:
    def text(name: bytes) -> str:
        return fields.get(name, b"").decode(errors="backslashreplace")

    return StoredDeadLetter(
        id=entry_id.decode(),
        stream=text(b"stream"),
        entry_id=text(b"id"),
        event=fields.get(FIELD.encode(), b""),
        reason=text(b"reason"),
        delivery_attempts=int(fields.get(b"delivery_attempts", b"0")),
        at=text(b"at"),
    )
