"""The stream ports in memory, and the server behind them."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from goald.domain.errors import LeaseLost, ServerReplaced, ServiceUnavailable
from goald.domain.leases import StreamLease
from goald.domain.slots import SlotRange
from goald.domain.times import rfc3339
from goald.ports.clock import Clock
from goald.ports.event_stream import RawEntry, ReaderStart
from goald.ports.outbound import DeadLetter, Message, PublishedWatermark, ServerIdentity
from goald.redis_keys import CONTROL, DEAD, EXITS, FIELD, OUTBOUND

Id = tuple[int, int]


def _parse(entry_id: bytes) -> Id:
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(milliseconds), int(sequence or b"0")


def _text(entry_id: Id) -> bytes:
    return b"%d-%d" % entry_id


@dataclass(slots=True)
class _Stream:
    entries: OrderedDict[Id, list[bytes]] = field(default_factory=OrderedDict)
    last: Id = (0, 0)
    acknowledged: Id = (0, 0)
    deleted: set[Id] = field(default_factory=set)
    starts: int = 0
    started_at: Id = (0, 0)
    tried: Id | None = None
    tries: int = 0


class MemoryStreams:
    """What stands in for Redis: streams with one group each, and their epochs.

    Everything happens at once, on one event loop. Set `available` to False to have every
    call refused, and `run_id` to another text as a server does that was started anew.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.available = True
        self.epochs: dict[str, int] = {}
        self.run_id = "memory"
        self.recorded: dict[str, str] = {}
        self.positions: dict[str, int] = {}
        self._streams: dict[str, _Stream] = {}
        self._added = asyncio.Condition()

    async def add(self, stream: str, fields: Sequence[bytes]) -> bytes:
        """Append an entry, `[field, value, ...]`, and wake who waits; its id."""
        held = self.stream(stream)
        milliseconds = max(self.clock.now_us() // 1_000, held.last[0])
        sequence = held.last[1] + 1 if milliseconds == held.last[0] else 0
        held.last = (milliseconds, sequence)
        held.entries[held.last] = list(fields)
        added = _text(held.last)
        await self.wake()
        return added

    async def wake(self) -> None:
        """Let who waits look again."""
        async with self._added:
            self._added.notify_all()

    def entries(self, stream: str) -> list[RawEntry]:
        """Every entry that is kept, in order."""
        return [(_text(key), list(value)) for key, value in self.stream(stream).entries.items()]

    def unacknowledged(self, stream: str) -> int:
        """How many entries are not yet acknowledged."""
        held = self.stream(stream)
        return sum(key > held.acknowledged for key in held.entries)

    def delete(self, stream: str, entry_id: bytes) -> None:
        """Drop an entry, as trimming does."""
        held, key = self.stream(stream), _parse(entry_id)
        if held.entries.pop(key, None) is not None:
            held.deleted.add(key)

    def drop_group(self, stream: str) -> None:
        """Forget what was acknowledged."""
        self.stream(stream).acknowledged = (0, 0)

    def remove(self, stream: str) -> None:
        """Forget a stream, its group included."""
        self._streams.pop(stream, None)

    def flush(self) -> None:
        """Forget everything, epochs included."""
        self.epochs.clear()
        self.recorded.clear()
        self.positions.clear()
        self._streams.clear()

    def stream(self, name: str) -> _Stream:
        """The stream, made where it is not there. ServiceUnavailable where told so."""
        if not self.available:
            raise ServiceUnavailable("the streams in memory were made unavailable")
        return self._streams.setdefault(name, _Stream())

    async def added_after(self, name: str, seen: Id, seconds: float) -> bool:
        """Wait until there is an entry above `seen`; whether there is one."""
        try:
            async with asyncio.timeout(seconds), self._added:
                await self._added.wait_for(lambda: self.stream(name).last > seen)
        except TimeoutError:
            return False
        return True


class MemoryEventStream:
    """`ports.EventStream` over `MemoryStreams`."""

    def __init__(self, streams: MemoryStreams, name: str) -> None:
        self._streams = streams
        self._name = name
        self._lease: StreamLease | None = None
        self._position: Id = (0, 0)
        self._passed: set[Id] = set()
        self._told: set[Id] = set()

    @property
    def name(self) -> str:
        return self._name

    async def epoch(self) -> int:
        self._streams.stream(self._name)  # is refused where streams are unavailable
        return self._streams.epochs.get(self._name, 0)

    async def fence(self, lease: StreamLease) -> bytes:
        held = self._streams.stream(self._name)
        if self._streams.epochs.get(self._name, 0) > lease.epoch:
            raise LeaseLost(f"{self._name}: a later epoch than {lease.epoch} has it")
        self._streams.epochs[self._name] = lease.epoch
        self._lease = lease
        self._position = held.acknowledged = min(held.acknowledged, held.last)
        return _text(held.acknowledged)

    async def read(self, after: bytes, count: int) -> list[RawEntry]:
        held, first = self._held(), _parse(after)
        above = list(islice((key for key in held.entries if key > first), count))
        if above:
            self._passed |= {key for key in held.deleted if first < key < above[-1]}
        return [(_text(key), held.entries[key]) for key in above]

    async def wait(self, after: bytes, seconds: float) -> bool:
        return await self._streams.added_after(self._name, _parse(after), seconds)

    async def acknowledge(self, up_to: bytes, entries: int) -> None:
        self._position = self._held().acknowledged = _parse(up_to)

    async def count_lost(self, after: bytes) -> int:
        held = self._held()
        if held.last < _parse(after) or held.acknowledged != self._position:
            raise ServerReplaced(f"{self._name} is not what was read of it")
        gone = self._passed | {key for key in held.deleted if key > _parse(after)}
        new = gone - self._told
        self._told |= new
        return len(new)

    async def count_start(self) -> ReaderStart:
        held = self._held()
        if held.started_at != held.acknowledged:
            held.started_at, held.starts = held.acknowledged, 0
        held.starts += 1
        return ReaderStart(held.starts, held.tried is not None)

    async def count_attempt(self, entry_id: bytes) -> int:
        held = self._held()
        if held.tried != _parse(entry_id):
            held.tried, held.tries = _parse(entry_id), 0
        held.tries += 1
        return held.tries

    async def clear_attempts(self) -> None:
        self._held().tried = None

    async def clear_starts(self) -> None:
        held = self._held()
        held.tried, held.starts = None, 0

    async def close(self) -> None:
        """There is nothing to close."""

    def _held(self) -> _Stream:
        epoch = self._streams.epochs.get(self._name, 0)
        if self._lease is None or epoch > self._lease.epoch:
            raise LeaseLost(f"{self._name}: the epoch is {epoch}")
        if epoch < self._lease.epoch:
            raise ServerReplaced(f"{self._name}: the epoch is {epoch}")
        return self._streams.stream(self._name)


class MemoryOutbound:
    """`ports.Outbound` over `MemoryStreams`."""

    def __init__(self, streams: MemoryStreams) -> None:
        self._streams = streams

    async def publish(
        self, messages: Sequence[Message], position: PublishedWatermark | None = None
    ) -> int:
        for message in messages:
            await self._streams.add(
                OUTBOUND[message.stream], [FIELD.encode(), message.payload.encode()]
            )
        if position is None:
            return 0
        before = self._streams.positions.get(str(position.slots), 0)
        self._streams.positions[str(position.slots)] = position.number
        return before

    async def dead_letter(self, letters: Sequence[DeadLetter]) -> None:
        at = rfc3339(self._streams.clock.now_us())
        for letter in letters:
            fields = {
                "stream": letter.stream.encode(),
                "id": letter.entry_id,
                FIELD: letter.event,
                "reason": letter.reason.encode(),
                "delivery_attempts": b"%d" % letter.delivery_attempts,
                "at": at.encode(),
            }
            flat = [part for name, value in fields.items() for part in (name.encode(), value)]
            await self._streams.add(DEAD, flat)

    async def server_identity(self, slots: SlotRange) -> ServerIdentity:
        held = self._streams
        self._require_available()
        return ServerIdentity(
            held.run_id, held.recorded.get(str(slots)), held.positions.get(str(slots), 0)
        )

    async def begin_republish(self, slots: SlotRange, token: str) -> None:
        self._require_available()
        self._streams.recorded[str(slots)] = token

    async def complete_republish(self, position: PublishedWatermark, token: str, name: str) -> bool:
        self._require_available()
        if self._streams.recorded.get(str(position.slots)) != token:
            return False
        self._streams.recorded[str(position.slots)] = name
        held, field = self._streams.positions, str(position.slots)
        held[field] = max(position.number, held.get(field, 0))
        return True

    def _require_available(self) -> None:
        self._streams.stream(EXITS)  # raises where it is not

    async def close(self) -> None:
        """There is nothing to close."""


class MemoryControlStream:
    """`ports.ControlStream` over `MemoryStreams`."""

    def __init__(self, streams: MemoryStreams) -> None:
        self._streams = streams
        self._seen: Id | None = None

    async def wait(self, seconds: float) -> None:
        seen, self._seen = self._seen, None
        if seen is not None:
            await self._streams.added_after(CONTROL, seen, seconds)
        self._seen = self._streams.stream(CONTROL).last

    async def close(self) -> None:
        """There is nothing to close."""
