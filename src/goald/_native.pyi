"""The Rust core, as Python sees it. Checked against the built module by stubtest.

Every call crosses once a batch and releases the GIL while Rust works. Times are
microseconds since the Unix epoch, in UTC. Ids are opaque strings. Nothing here does
I/O or reads a clock.

A *buffer* is what `Router.route` packs for one shard and `Engine.evaluate` takes: a
run of stream entries (their ids and the bytes of their events), at most
`Router.max_buffer` bytes unless a single entry is larger. Its layout is private to Rust.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self, final

from goald.domain.configuration.goals import GoalType
from goald.domain.enrollment import EnrollmentStatus
from goald.domain.ids import ContactId, TenantId

__all__ = [
    "SLOTS",
    "Achievements",
    "Effects",
    "Engine",
    "Exits",
    "Intake",
    "Proposal",
    "Routed",
    "Router",
    "achievement_id",
    "buffer_entries",
    "buffer_halves",
    "exit_id",
    "goal_events",
    "intake",
    "slot_of",
]

SLOTS: int
"""256: the fixed number of partitions of (tenant, contact)."""

def slot_of(tenant_id: str, contact_id: str) -> int:
    """crc32(tenant + 0x1F + contact) mod 256 (docs/reference/streams.md)."""

def exit_id(tenant_id: str, enrollment_id: str) -> str:
    """The derived id of an enrollment's exit: the same for every repetition."""

def achievement_id(tenant_id: str, enrollment_id: str, goal_id: str) -> str:
    """The derived id of an achievement."""

def buffer_entries(buffer: bytes) -> list[tuple[bytes, bytes]]:
    """(entry id, the event's bytes) of a buffer, in order. ValueError where it is none."""

def buffer_halves(buffer: bytes) -> tuple[bytes, bytes] | None:
    """The entries of a buffer in two buffers, in order; None where there are not two. ValueError
    where it is no buffer."""

def goal_events(buffers: Sequence[bytes], now_us: int) -> list[tuple[str, str, bytes]]:
    """(tenant, contact, a buffer of that event alone) of each event of a type that goals wait
    for, in order (E7). ValueError where one is no buffer."""

def intake(body: bytes, tenant_id: str, now_us: int) -> Intake:
    """Take the events of a request of this tenant: a JSON object, or a list of up to 1,000.

    Each is checked as `Router.route` and `Engine.evaluate` check it, and refused in the same
    words (D4, D9): what is taken here is not refused behind it. ValueError, saying why, where
    the body is neither, or a list that is empty, too long, or cannot be told into its items.
    """

@final
class Intake:
    """What the body of a request held."""

    @property
    def is_list(self) -> bool: ...
    @property
    def taken(self) -> list[tuple[int, str, bytes]]:
        """(index, contact, the bytes to publish), in order. The bytes are the body's own, so
        that numbers stay exact; where `tenantid` is absent, the caller's is put before them."""
    @property
    def refused(self) -> list[tuple[int, str | None, str]]:
        """(index, the event's id where it can be read, reason)."""
    @property
    def of_others(self) -> list[int]:
        """The indices of those refused that nothing is wrong with but that they name another
        tenant."""

@final
class Router:
    """Finds each event's slot in its raw bytes and packs one buffer, or several, per shard."""

    def __new__(cls, shard_of_slot: bytes, *, max_buffer: int = 90_000) -> Self:
        """`shard_of_slot`: 256 bytes, the shard's index of each slot. ValueError otherwise."""

    def route(self, entries: Sequence[Any]) -> Routed:
        """Route what a read returned: `[[id, [field, value, ...]], ...]`, all bytes.

        The order of entries is kept within each shard. An entry without a field `event`, or
        in whose bytes no tenant and contact can be found, is listed in `rejects`. TypeError
        where the shape is another.
        """

@final
class Routed:
    """What one call of `Router.route` made."""

    @property
    def buffers(self) -> list[tuple[int, bytes, int]]:
        """(shard, buffer, number of entries), in order within each shard."""
    @property
    def rejects(self) -> list[tuple[bytes, str, bytes]]:
        """(entry id, reason, the event's bytes or b"") of what no shard can take (D4)."""

@final
class Engine:
    """The goals and active enrollments of a range of slots, and their evaluation.

    Not safe for use by two threads at once: a second call raises RuntimeError.
    """

    def __new__(cls, *, clock_skew_us: int = 0) -> Self: ...
    def update_workflows(self, workflows: Sequence[Mapping[str, object]]) -> None:
        """Take these workflows' configuration in place of what is held of them (E8); other
        workflows stay as they are.

        Each is `{"tenant_id", "workflow_id", "goal_logic": "any"|"all", "is_active": bool,
        "goals": [{"id": uuid str, "goal_type", "criteria": JSON text, "is_active": bool,
        "effective_from": us | None, "created_at": us, "position": int}]}`; a goal whose
        `effective_from` is None was never activated and matches nothing. Decimals in
        criteria are JSON strings or integers. ValueError names what is wrong, and nothing
        is taken then. Enrollments are untouched: a changed goal completes nobody by itself.
        A proposal made before can still be applied: its events were judged on arrival (E1).
        """
    def load(self, rows: bytes) -> int:
        """Take enrollments in Postgres's binary COPY format, whole or the next piece of it.

        Columns: tenant_id, enrollment_id, contact_id, workflow_id (text), enrolled_at
        (bigint, us), met_goals (text: goal ids parted by commas, or empty). Feed pieces as
        they arrive, cut anywhere; the trailer ends the stream, and the next call starts
        another; so does a piece that begins with the format's whole signature, and any after an
        error. An enrollment that is held already is replaced. Returns the rows taken by this
        call. ValueError where the format is another; rows before the fault are taken.
        """
    def load_ended(self) -> bool:
        """Whether the last stream fed to `load` came to its trailer (it was not cut off)."""
    def forget(self, contacts: Sequence[tuple[str, str]]) -> None:
        """Drop the enrollments of these (tenant, contact) pairs, before loading them again."""
    def contacts_of(self, buffers: Sequence[bytes]) -> list[tuple[TenantId, ContactId]]:
        """The distinct (tenant, contact) pairs named in these buffers; for a reload."""
    def evaluate(self, buffers: Sequence[bytes], now_us: int) -> Proposal:
        """Hold the events of these buffers, in order, against memory (E1 to E6, E8, D9).

        What the events would change comes back as a proposal; an enrollment that starts in
        one event is seen by the next, and the net effect is proposed. Memory is not changed.
        `now_us` judges events too far ahead (more than 24 h).
        """
    def apply(self, proposal: Proposal, effective: bytes) -> None:
        """Make memory equal to what was committed.

        `effective` holds one byte for each effect of the proposal: 1 where Postgres made it,
        0 where it did not. Slices of one proposal are applied in their order. ValueError where
        the lengths differ, or where `load`, `forget` or an `apply` of anything else changed
        memory since the proposal was made.
        """
    def explain(self, event: bytes, now_us: int) -> str:
        """A dry run of one event, as JSON: each enrollment and goal of the contact, and why
        it matched or not. Changes nothing. ValueError with the reason for a bad event.

        `{"event": {"id", "type", "tenant_id", "contact_id", "time": as sent}, "reason",
        "enrollments": [{"enrollment_id", "workflow_id", "enrolled_at": us, "goal_logic",
        "matched", "completes", "reason", "goals": [{"goal_id", "goal_type", "matched",
        "achieved", "reason"}]}]}`. What is `achieved` and `completes` is what `evaluate`
        would propose. A reason is null where nothing stands in the way.
        """
    def stats(self) -> dict[str, int]:
        """`tenants`, `workflows`, `goals`, `contacts`, `enrollments`, `listeners` (a goal that
        is active, of an active workflow, watching one active enrollment), `bytes` (held)."""

@final
class Proposal:
    """What a batch would change. Columns are lists of equal length, made when asked for.

    An *effect* is the net change to one enrollment. Achievements and exits name their
    effect by its index.

    A slice of a proposal is a proposal of some of its effects, in order, and of what hangs on
    them, under indexes of its own. What hangs on no effect is the last slice's: events counted,
    rejects, and deletions and acknowledgements, which come after what they are about.
    """

    def slices(self, most_effects: int, most_bytes: int) -> list[Proposal]:
        """The whole proposal in slices of at most so many effects and, about, bytes to be
        written; one effect always fits. At least one. No column is made."""
    def halves(self) -> tuple[Proposal, Proposal] | None:
        """This slice in two, in order; None where it is of one thing alone."""

    @property
    def events(self) -> int:
        """Events read from the buffers, bad ones included."""
    @property
    def passed_over(self) -> int:
        """Events of types that goald does not read."""
    @property
    def events_by_type(self) -> dict[str, int]: ...
    @property
    def changes_nothing(self) -> bool:
        """No effects, deletions or acknowledgements (there may be rejects)."""
    @property
    def effects(self) -> Effects: ...
    @property
    def achievements(self) -> Achievements: ...
    @property
    def exits(self) -> Exits: ...
    @property
    def deletions(self) -> list[tuple[str, str, int, int]]:
        """(tenant, contact, slot, time) of contacts deleted; their payloads must be redacted."""
    @property
    def acknowledgements(self) -> list[tuple[str, str, str, str, int, int | None, int]]:
        """(tenant, enrollment, contact, workflow, slot, cancelled actions, time) of exits that
        an engine has carried out."""
    @property
    def rejects(self) -> list[tuple[int, bytes, str, bytes]]:
        """(index of the buffer, entry id, reason, the event's bytes): the producer's fault (D4)."""
    def rejects_with(
        self, owners: Sequence[tuple[int, str, str]]
    ) -> list[tuple[int, bytes, str, bytes]]:
        """The same where Postgres knows the enrollment ids of some effects under another contact
        or workflow (E5): effect, contact, workflow. Of the events that name such an id those
        are refused that differ from it, and no others, in whichever order they came."""
    def has_rightful(self, effect: int, contact: str, workflow: str) -> bool:
        """Whether such an event is the owner's, though an effect of another's came first."""

@final
class Effects:
    """One row an enrollment that the batch changes."""

    tenant_id: list[str]
    enrollment_id: list[str]
    contact_id: list[str]
    workflow_id: list[str]
    slot: list[int]
    is_new: list[bool]
    """True: to be inserted; False: an active row to be updated."""
    status: list[EnrollmentStatus]
    """The status after: active, completed_goal, completed, exited or cancelled."""
    enrolled_at: list[int]
    ended_at: list[int | None]
    """The time of the event that ended it."""
    met_goals: list[list[str]]
    """Ids of the goals that the batch meets, UUIDs as text."""
    pending_actions: list[int | None]
    def __len__(self) -> int: ...

@final
class Achievements:
    """One row an achievement: an enrollment met a goal."""

    effect: list[int]
    id: list[str]
    goal_id: list[str]
    goal_type: list[GoalType]
    achieved_at: list[int]
    trigger_event: list[str]
    """The event's `data` as JSON text, storable as jsonb."""
    metadata: list[str]
    """JSON: `event_id`, `source`, `type`, `time`, `traceparent` where there is one."""
    def __len__(self) -> int: ...

@final
class Exits:
    """One row an enrollment that leaves because its goals are met (R8)."""

    effect: list[int]
    id: list[str]
    goal_type: list[str]
    goal_ids: list[list[str]]
    """Every goal that the enrollment has met."""
    achieved_at: list[int]
    event_id: list[str]
    event_source: list[str]
    event_type: list[str]
    traceparent: list[str | None]
    received_at: list[int]
    """Of the event's stream entry, us."""
    def __len__(self) -> int: ...
