"""What the pipeline asks of the world. Adapters implement these; tests hold each pair
of adapters (memory and real) to one contract suite.

Times are microseconds since the Unix epoch. Every coroutine may raise
`ServiceUnavailable` when its server cannot be reached or refuses to write (D6).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

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


class EventStream(Protocol):
    """One inbound stream, read under one lease (design 2, step 1).

    Its consumer group keeps one thing: up to where everything is acknowledged. Reading
    changes nothing; who holds the stream remembers how far it has read, and a new holder
    begins where the acknowledged ends.
    """

    @property
    def name(self) -> str:
        """The stream's key, such as `goald:events:0`."""

    async def claim(self, lease: StreamLease) -> bytes:
        """Make this lease's epoch the one that may read, and make the group if it is not
        there; the id of the last entry acknowledged, `b"0-0"` for none. Raises LeaseLost if
        a later epoch has claimed the stream already."""

    async def read(self, after: bytes, count: int) -> list[RawEntry]:
        """Up to `count` entries with ids above `after`, in order. Atomic with the check of
        the epoch: raises LeaseLost, having read nothing, if it is no longer ours. Never
        blocks."""

    async def wait(self, after: bytes, seconds: float) -> bool:
        """Wait until there is an entry above `after`, at most so long; whether there is."""

    async def acknowledge(self, up_to: bytes, entries: int) -> None:
        """Acknowledge everything up to and including this id (step 6), `entries` more than
        before. Raises LeaseLost, having changed nothing, if the epoch is no longer ours.
        After an error it may be repeated as it was."""

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


class Outbound(Protocol):
    """Where exits, notices and dead letters go."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Append each message to its stream, in order. Returns only when Redis has taken
        every one; after an error some may have been taken, and the whole is sent again."""

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Append to `goald:dead`; returns and fails as `publish` does."""


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


@dataclass(frozen=True, slots=True)
class Committed:
    """What Postgres made of a change."""

    effective: bytes
    """One byte an effect: 1 where its enrollment's row was inserted or updated."""
    conflicts: Sequence[int] = ()
    """Effects whose enrollment id exists under another contact or workflow (E5)."""
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


class Outbox(Protocol):
    """What was committed to be published, and what of it has been."""

    async def unpublished(self, lease: SlotLease) -> list[StoredMessage]:
        """Outbox rows of the slots that nobody has marked as published, in order."""

    async def mark_published(self, lease: SlotLease, numbers: Sequence[int]) -> None:
        """Mark outbox rows. May be lost in a crash: publishing twice is allowed (step 5)."""

    async def forget_published(self, lease: SlotLease, older_than_s: float) -> int:
        """Delete rows of the slots published longer ago than this; how many."""


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
        and only what hangs on an effect that took hold is written beside it. Raises LeaseLost
        (nothing written) or CommitUnknown."""

    async def close(self) -> None: ...


class StreamLeases(Protocol):
    """Leases of streams."""

    async def take(
        self, stream: str, holder: str, may_take: MayTake = from_anybody
    ) -> StreamLease:
        """Take the stream from whoever has it, under a new, greater epoch. Raises LeaseHeld,
        with nothing changed, where it may not be taken."""

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
