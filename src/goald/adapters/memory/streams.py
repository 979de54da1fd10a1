"""The stream ports in memory, and the server behind them."""

import asyncio
import copy
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from goald.adapters.memory.dead_letters import surplus
from goald.domain.errors import LeaseLost, ServerReplaced, ServiceUnavailable
from goald.domain.leases import StreamLease
from goald.domain.records.event_tenant import event_tenant
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
    attempted: Id | None = None
    attempts: int = 0


class MemoryStreams:
    """Replaces Redis in tests: streams with one group each, and their epochs.

    Calls take effect immediately, on one event loop. If `available` is False, every call raises
    ServiceUnavailable. Another `run_id` simulates a restart of the server.
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
        """Append an entry, `[field, value, ...]`, and wake waiting readers. Returns its id."""
        state = self.stream(stream)
        milliseconds = max(self.clock.now_us() // 1_000, state.last[0])
        sequence = state.last[1] + 1 if milliseconds == state.last[0] else 0
        state.last = (milliseconds, sequence)
        state.entries[state.last] = list(fields)
        added = _text(state.last)
        await self.wake()
        return added

    async def wake(self) -> None:
        """Let waiting readers check their condition again."""
        async with self._added:
            self._added.notify_all()

    def entries(self, stream: str) -> list[RawEntry]:
        """Every stored entry, in order."""
        return [(_text(key), list(value)) for key, value in self.stream(stream).entries.items()]

    def unacknowledged(self, stream: str) -> int:
        """The number of unacknowledged entries."""
        state = self.stream(stream)
        return sum(key > state.acknowledged for key in state.entries)

    def delete(self, stream: str, entry_id: bytes) -> None:
        """Drop an entry, as trimming does."""
        state, key = self.stream(stream), _parse(entry_id)
        if state.entries.pop(key, None) is not None:
            state.deleted.add(key)

    def drop_group(self, stream: str) -> None:
        """Reset the acknowledged position."""
        self.stream(stream).acknowledged = (0, 0)

    def remove(self, stream: str) -> None:
        """Delete a stream and its group."""
        self._streams.pop(stream, None)

    def flush(self) -> None:
        """Delete everything, including epochs."""
        self.epochs.clear()
        self.recorded.clear()
        self.positions.clear()
        self._streams.clear()

    def restore(self, backup: "MemoryStreams") -> None:
        """Take over the streams of another server, as from a copy of its data."""
        self._streams = copy.deepcopy(backup._streams)

    def stream(self, name: str) -> _Stream:
        """The stream, created if necessary. Raises ServiceUnavailable unless `available`."""
        if not self.available:
            raise ServiceUnavailable("the streams in memory are unavailable")
        return self._streams.setdefault(name, _Stream())

    async def added_after(self, name: str, seen: Id, seconds: float) -> bool:
        """Wait until there is an entry above `seen`, at most `seconds`; whether there is."""
        try:
            async with asyncio.timeout(seconds), self._added:
                await self._added.wait_for(lambda: self.stream(name).last > seen)
        except TimeoutError:
            return False
        return True


class MemoryEventHistory:
    """`ports.EventHistory` over `MemoryStreams`."""

    def __init__(self, streams: MemoryStreams, names: Sequence[str]) -> None:
        """`names`: those of all event streams, in order."""
        self._streams = streams
        self._names = names

    async def stream_of(self, slot: int) -> str:
        return self._names[slot % len(self._names)]

    async def acknowledged(self, stream: str) -> bytes:
        return _text(self._streams.stream(stream).acknowledged)

    async def read(self, stream: str, after: bytes, count: int) -> Sequence[RawEntry]:
        entries = self._streams.stream(stream).entries
        found = islice((key for key in entries if key > _parse(after)), count)
        return [(_text(key), list(entries[key])) for key in found]

    async def removed(self, stream: str) -> bytes:
        state = self._streams.stream(stream)
        last = max(state.deleted, default=(0, 0))
        return _text(min(last, next(iter(state.entries), last)))

    async def close(self) -> None:
        """There is nothing to close."""


class MemoryEventStream:
    """`ports.EventStream` over `MemoryStreams`."""

    def __init__(self, streams: MemoryStreams, name: str) -> None:
        self._streams = streams
        self._name = name
        self._lease: StreamLease | None = None
        self._position: Id = (0, 0)
        self._passed: set[Id] = set()
        self._reported: set[Id] = set()
        self._read_at_ms = 0

    @property
    def name(self) -> str:
        return self._name

    @property
    def read_at_ms(self) -> int:
        return self._read_at_ms

    async def epoch(self) -> int:
        self._streams.stream(self._name)  # raises if the streams are unavailable
        return self._streams.epochs.get(self._name, 0)

    async def fence(self, lease: StreamLease) -> bytes:
        state = self._streams.stream(self._name)
        if self._streams.epochs.get(self._name, 0) > lease.epoch:
            raise LeaseLost(f"{self._name}: fenced by a later epoch than {lease.epoch}")
        self._streams.epochs[self._name] = lease.epoch
        self._lease = lease
        self._position = state.acknowledged = min(state.acknowledged, state.last)
        return _text(state.acknowledged)

    async def read(self, after: bytes, count: int) -> list[RawEntry]:
        state, first = self._fenced_state(), _parse(after)
        self._read_at_ms = self._streams.clock.now_us() // 1_000
        above = list(islice((key for key in state.entries if key > first), count))
        if above:
            self._passed |= {key for key in state.deleted if first < key < above[-1]}
        return [(_text(key), state.entries[key]) for key in above]

    async def wait(self, after: bytes, seconds: float) -> bool:
        return await self._streams.added_after(self._name, _parse(after), seconds)

    async def acknowledge(self, up_to: bytes, entries: int) -> None:
        self._position = self._fenced_state().acknowledged = _parse(up_to)

    async def count_lost(self, after: bytes) -> int:
        state = self._fenced_state()
        if state.last < _parse(after) or state.acknowledged != self._position:
            raise ServerReplaced(f"{self._name} is not the stream that was fenced")
        lost = self._passed | {key for key in state.deleted if key > _parse(after)}
        new = lost - self._reported
        self._reported |= new
        return len(new)

    async def count_start(self) -> ReaderStart:
        state = self._fenced_state()
        if state.started_at != state.acknowledged:
            state.started_at, state.starts = state.acknowledged, 0
        state.starts += 1
        return ReaderStart(state.starts, state.attempted is not None)

    async def count_attempt(self, entry_id: bytes) -> int:
        state = self._fenced_state()
        if state.attempted != _parse(entry_id):
            state.attempted, state.attempts = _parse(entry_id), 0
        state.attempts += 1
        return state.attempts

    async def clear_attempts(self) -> None:
        self._fenced_state().attempted = None

    async def clear_starts(self) -> None:
        state = self._fenced_state()
        state.attempted, state.starts = None, 0

    async def close(self) -> None:
        """There is nothing to close."""

    def _fenced_state(self) -> _Stream:
        epoch = self._streams.epochs.get(self._name, 0)
        if self._lease is None or epoch > self._lease.epoch:
            raise LeaseLost(f"{self._name}: the epoch is {epoch}")
        if epoch < self._lease.epoch:
            raise ServerReplaced(f"{self._name}: the epoch is {epoch}")
        return self._streams.stream(self._name)


class MemoryOutbound:
    """`ports.Outbound` over `MemoryStreams`."""

    def __init__(self, streams: MemoryStreams, *, dead_max_bytes: int = 256 << 20) -> None:
        """`dead_max_bytes`: how much memory dead letters may use."""
        self._streams = streams
        self._dead_max_bytes = dead_max_bytes

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

    async def dead_letter(self, dead_letters: Sequence[DeadLetter]) -> None:
        at = rfc3339(self._streams.clock.now_us())
        for dead_letter in dead_letters:
            fields = {
                "stream": dead_letter.stream.encode(),
                "id": dead_letter.entry_id,
                "tenant": (event_tenant(dead_letter.event) or "").encode(),
                FIELD: dead_letter.event,
                "reason": dead_letter.reason.encode(),
                "delivery_attempts": b"%d" % dead_letter.delivery_attempts,
                "at": at.encode(),
            }
            flat = [part for name, value in fields.items() for part in (name.encode(), value)]
            await self._streams.add(DEAD, flat)
        for entry_id in surplus(self._streams.entries(DEAD), self._dead_max_bytes):
            self._streams.delete(DEAD, entry_id)

    async def server_identity(self, slots: SlotRange) -> ServerIdentity:
        self._require_available()
        return ServerIdentity(
            self._streams.run_id,
            self._streams.recorded.get(str(slots)),
            self._streams.positions.get(str(slots), 0),
        )

    async def begin_republish(self, slots: SlotRange, token: str) -> None:
        self._require_available()
        self._streams.recorded[str(slots)] = token

    async def complete_republish(self, position: PublishedWatermark, token: str, name: str) -> bool:
        self._require_available()
        if self._streams.recorded.get(str(position.slots)) != token:
            return False
        self._streams.recorded[str(position.slots)] = name
        positions, slots = self._streams.positions, str(position.slots)
        positions[slots] = max(position.number, positions.get(slots, 0))
        return True

    def _require_available(self) -> None:
        self._streams.stream(EXITS)  # raises if it is not

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
