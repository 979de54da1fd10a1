"""What the pipeline asks of the world. Adapters implement these; tests hold each pair
of adapters (memory and real) to one contract suite.

Times are microseconds since the Unix epoch. Every coroutine may raise
`ServiceUnavailable` when its server cannot be reached or refuses to write (D6).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias

from goald.domain.leases import MayTake, SlotLease, StreamLease, from_anybody
from goald.domain.records import EnrollmentRecord
from goald.domain.slots import SlotRange

RawEntry: TypeAlias = Any
"""A stream entry as Redis returns it: `[id, [field, value, ...]]`, all bytes."""


class Clock(Protocol):
    """The time, passed in so that a run with the same inputs is the same run."""

    def now_us(self) -> int:
        """Wall-clock time, microseconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds that never go back, for durations and deadlines."""

    async def sleep(self, seconds: float) -> None: ...


class Start(NamedTuple):
    """What is known of those who read a stream before."""

    times: int
    """How many have started since anything was acknowledged, this one included."""
    was_trying: bool
    """The last of them ended while it tried an entry alone."""


class EventStream(Protocol):
    """One inbound stream, read under one lease (design 2, step 1).

    Its consumer group keeps one thing: up to where everything is acknowledged. Reading
    changes nothing; who holds the stream remembers how far it has read, and a new holder
    begins where the acknowledged ends.

    What needs the lease raises LeaseLost, having done nothing, where a later epoch has the
    stream, and ServerReplaced where the stream is not the one that was claimed: Redis came
    back as another or with less, or the group was removed or moved (D10). Then it is to be
    claimed again, under the same lease, and read from where that says.
    """

    @property
    def name(self) -> str:
        """The stream's key, such as `goald:events:0`."""

    async def epoch(self) -> int:
        """Under which the stream was claimed last; 0 for none. Needs no lease."""

    async def claim(self, lease: StreamLease) -> bytes:
        """Make this lease's epoch the one that may read, and make the group if it is not
        there; the id of the last entry acknowledged, `b"0-0"` for none. Raises LeaseLost if
        a later epoch has claimed the stream already."""

    async def read(self, after: bytes, count: int) -> list[RawEntry]:
        """Up to `count` entries with ids above `after`, in order. Atomic with the check of
        the epoch, which it needs. Never blocks."""

    async def wait(self, after: bytes, seconds: float) -> bool:
        """Wait until there is an entry above `after`, at most so long; whether there is."""

    async def acknowledge(self, up_to: bytes, entries: int) -> None:
        """Acknowledge everything up to and including this id (step 6), `entries` more than
        before. Needs the epoch. After an error it may be repeated as it was."""

    async def examine(self, after: bytes) -> int:
        """How many entries above `after`, up to which all was read, are gone unread: since
        the last call, and some perhaps only when all that is there has been read. Where the
        server does not count what was added (Redis before 7) it is told only that some are
        gone, as 1, and only where none is left. Needs the epoch."""

    async def start(self) -> Start:
        """Count a start of the reader at what is acknowledged (D4). Needs the epoch, as the
        next three do."""

    async def try_alone(self, entry_id: bytes) -> int:
        """Count a try of this entry; how many there were, this one included. Another entry
        is counted from 1 on."""

    async def survived(self) -> None:
        """Forget the tries: the reader has not died of the entry."""

    async def end(self) -> None:
        """Forget tries and starts: the reader ends, and of no entry."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Message:
    """An outbound event: JSON text for the field `event` of an entry of `stream`."""

    stream: str
    payload: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What could not be processed, for `goald:dead` (D4)."""

    stream: str
    entry_id: bytes
    event: bytes
    reason: str
    tries: int


@dataclass(frozen=True, slots=True)
class Position:
    """How far the messages of a range of slots have been published."""

    slots: SlotRange
    number: int
    """The greatest number of an outbox row."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the server of the outbound streams says to a range of slots (D10)."""

    server: str
    """Of this run of the server, and of no other; empty where it does not say."""
    known_as: str | None
    """What `confirm` was last given; None where this server has never heard of the slots."""
    published: int
    """The number that `publish` last noted; 0 for none."""


class Outbound(Protocol):
    """Where exits, notices and dead letters go."""

    async def publish(self, messages: Sequence[Message], position: Position | None = None) -> int:
        """Append each message to its stream, in order, and note the position after them; the
        number that was noted before, 0 for none. Returns only when Redis has taken every one;
        after an error some may have been taken, and the whole is sent again."""

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Append to `goald:dead`; returns and fails as `publish` does."""

    async def standing(self, slots: SlotRange) -> Standing:
        """Of the server that `publish` last wrote to, or would write to next."""

    async def begin_anew(self, slots: SlotRange, token: str) -> None:
        """Before what was published is published again: the server is known as `token`."""

    async def confirm(self, position: Position, token: str, name: str) -> bool:
        """After it: the server is known as `name` from now on, and the position is at least
        this. False, with nothing changed, where it is no longer known as `token`: what was
        published since may be lost again."""

    async def close(self) -> None: ...


class ControlStream(Protocol):
    """`goald:control`, which says that a configuration has changed (E10)."""

    async def wait(self, seconds: float) -> None:
        """Return when something was published since the last call returned, at most so long
        after this one began; nothing published between two calls is missed. The first call,
        and the first after an error, return at once: what was published before is to be
        looked for by other means."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A message to be committed with what it tells of, and published after it.

    `effect`: index of the effect that must take hold for the row to be written.
    """

    effect: int
    message_id: str
    stream: str
    payload: str


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """An outbox row as committed: `number` is what marks it published."""

    number: int
    message: Message


@dataclass(frozen=True, slots=True)
class Change:
    """What one batch would change, in the columns of `_native.Proposal`."""

    effects: Any
    achievements: Any
    outbox: Sequence[OutboxRow]
    deletions: Sequence[tuple[str, str, int, int]] = ()
    acknowledgements: Sequence[tuple[str, str, str, str, int, int | None, int]] = ()


class Conflict(NamedTuple):
    """An effect whose enrollment id is there under another contact or workflow (E5)."""

    effect: int
    contact: str
    workflow: str
    """Whose it is there; both empty where it lies in another shard's slots."""
    is_active: bool


@dataclass(frozen=True, slots=True)
class Committed:
    """What Postgres made of a change."""

    effective: bytes
    """One byte an effect: 1 where its enrollment's row was inserted or updated."""
    conflicts: Sequence[Conflict] = ()
    """In the order of their effects."""
    outbox: Sequence[StoredMessage] = ()
    """The rows written, in order, now to be published."""
    out_of_step: bool = False
    """An update did not find its row active: memory differs from the table, and the
    batch's contacts are to be loaded again."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """Workflows as `_native.Engine.update_workflows` takes them, up to a version."""

    version: int
    workflows: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Database:
    """Where the outbox is."""

    name: str
    """Another one after a restore or a failover."""
    now_us: int
    """Its clock."""


class Outbox(Protocol):
    """What was committed to be published, and what of it has been.

    Lists come in pages, bounded in rows and in bytes, in the order of their numbers: those
    above `after`; an empty one is the end.
    """

    async def unpublished(self, lease: SlotLease, after: int = 0) -> list[StoredMessage]:
        """A page of the outbox rows of the slots that nobody has marked as published."""

    async def mark_published(self, lease: SlotLease, numbers: Sequence[int]) -> None:
        """Mark outbox rows. May be lost in a crash: publishing twice is allowed (step 5)."""

    async def forget_published(
        self, lease: SlotLease, older_than_s: float, waiting_s: float = 0.0
    ) -> int:
        """Delete rows of the slots published longer ago than this, a bounded number of them; how
        many. Exits that wait to be acknowledged stay until they are older than `waiting_s`."""

    async def last_published(self, lease: SlotLease) -> int:
        """The greatest number of a row that a holder of the slots has published; 0 where none
        is left."""

    async def published(
        self, lease: SlotLease, since_us: int, until_us: int, after: int = 0
    ) -> list[StoredMessage]:
        """A page of the rows marked as published between these times of the database's clock,
        those blanked left out (D10)."""

    async def due_exits(
        self, lease: SlotLease, after_s: float, waiting_s: float
    ) -> list[StoredMessage]:
        """A page of the exits that were published longer than `after_s` ago, that no engine
        has acknowledged, and that are not older than `waiting_s`; those published longest ago
        first. Others that were published so long ago wait no longer (3.2)."""

    async def mark_published_again(self, lease: SlotLease, numbers: Sequence[int]) -> None:
        """Count the time until these exits are due from now on."""

    async def database(self) -> Database:
        """Which database this is. Raises ServerReplaced where it is not the one, or has less
        than the one, that this process has been working with (D10)."""


class ShardStore(Protocol):
    """The durable state of a range of slots, under one lease (design 2, step 4; 3.3)."""

    @property
    def outbox(self) -> Outbox:
        """The messages of what was committed."""

    async def take(
        self, slots: SlotRange, holder: str, may_take: MayTake = from_anybody
    ) -> SlotLease:
        """Take the slots from those who have them: remove every lease that overlaps, end its
        holder's backend, and commit a lease with a new, greater epoch. Raises LeaseHeld, with
        nothing changed, where one of them may not be taken."""

    async def renew(self, lease: SlotLease, config_version: int) -> None:
        """Extend the lease, and say which configuration is held. Raises LeaseLost."""

    async def release(self, lease: SlotLease) -> None:
        """Give the lease back. Does nothing if it is no longer ours."""

    async def check(self, lease: SlotLease) -> None:
        """Read the lease after an evaluation that changed nothing (D2). Raises LeaseLost."""

    async def configuration(self, after: int) -> Configuration:
        """Every workflow, of every tenant, changed after this version; the version reached.
        With 0, all of them."""

    async def load(self, lease: SlotLease, sink: Callable[[bytes], object]) -> None:
        """Hand all active enrollments of the slots to `sink`, in pieces of the form that
        `_native.Engine.load` takes. Fails, never silently empty, where row security hides
        them. Raises LeaseLost."""

    async def load_contacts(
        self, lease: SlotLease, contacts: Sequence[tuple[str, str]], sink: Callable[[bytes], object]
    ) -> None:
        """The same for these (tenant, contact) pairs alone."""

    async def commit(self, lease: SlotLease, change: Change) -> Committed:
        """Write a change in one transaction: the lease is checked FOR SHARE, new enrollments
        are inserted where their id is free, active ones updated where they still are active,
        and only what hangs on an effect that took hold is written beside it. Raises LeaseLost,
        or ContentRefused where a row's content is refused (D4), with nothing written; or
        CommitUnknown."""

    async def close(self) -> None: ...


class StreamLeases(Protocol):
    """Leases of streams."""

    async def take(
        self, stream: str, holder: str, may_take: MayTake = from_anybody, above: int = 0
    ) -> StreamLease:
        """Take the stream from whoever has it, under a new epoch, greater than all that were
        given and than `above`, which may have been given before these leases were put back to
        an older copy (D10). Raises LeaseHeld, with nothing changed, where it may not be taken."""

    async def renew(self, lease: StreamLease) -> None:
        """Extend the lease. Raises LeaseLost."""

    async def release(self, lease: StreamLease) -> None: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ContactState:
    """A contact's enrollments and the workflows that they are in, all of one moment."""

    workflows: list[dict[str, Any]]
    """As `_native.Engine.update_workflows` takes them."""
    active: bytes
    """The active enrollments, as `_native.Engine.load` takes them."""
    ended: Sequence[EnrollmentRecord]
    """Newest first."""
    truncated: bool
    """There are more enrollments than these, older ones."""


class ContactReader(Protocol):
    """What is known of one contact, for a dry run."""

    async def read(self, tenant: str, contact: str) -> ContactState:
        """Sees this tenant's rows alone (D8), and writes nothing."""
