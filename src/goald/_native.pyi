"""The Rust matcher, as seen from Python. `make lint` checks this stub against the built module.

Calls take whole batches and release the GIL while Rust works. They block until they are done, do
no I/O and read no clock. Times are microseconds since the Unix epoch, in UTC; those of executions
are milliseconds, with names that end in `_ms`. Ids are opaque
strings.

A *buffer* is a run of stream entries (ids and event bytes) that `Router.route` packs for one shard
and `Matcher.evaluate` reads. Its layout is private to Rust; only the build that wrote a buffer can
read it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self, final

from goald.domain.configuration.goals import GoalType
from goald.domain.ids import ContactId, TenantId
from goald.domain.records.enrollment import EnrollmentStatus

__all__ = [
    "INTERFACE",
    "SLOTS",
    "Achievements",
    "Effects",
    "ExecutionLogs",
    "ExecutionProposal",
    "ExecutionTransitions",
    "Exits",
    "Intake",
    "Matcher",
    "Proposal",
    "Routed",
    "Router",
    "achievement_id",
    "buffer_entries",
    "buffer_halves",
    "buffer_of",
    "contact_of",
    "event_key",
    "exit_id",
    "goal_events",
    "intake",
    "run_events",
    "slot_of",
    "time_us",
    "with_contact",
]

INTERFACE: str
"""The text of this file when the module was built (`goald.pipeline.native_build`)."""

SLOTS: int
"""256: the fixed number of partitions of (tenant, contact)."""

def slot_of(tenant_id: str, contact_id: str) -> int:
    """The slot of a contact: crc32(tenant + 0x1F + contact) mod 256, over UTF-8
    (docs/reference/streams.md)."""

def with_contact(event: bytes, contact_id: str) -> bytes:
    """Return an event of another contact, otherwise unchanged. Raises ValueError if the event has
    no `data.contact_id`."""

def contact_of(event: bytes) -> tuple[str, str]:
    """The tenant and the contact of an event. Raises ValueError if it has none."""

def exit_id(tenant_id: str, enrollment_id: str) -> str:
    """The id of an enrollment's exit, a UUIDv5. The same arguments always give the same id."""

def event_key(source: str, event_id: str) -> str:
    """Identifies an event within its tenant, a UUIDv5 (E11)."""

def achievement_id(tenant_id: str, enrollment_id: str, goal_id: str) -> str:
    """The id of an achievement, a UUIDv5. The same arguments always give the same id."""

def buffer_entries(buffer: bytes) -> list[tuple[bytes, bytes]]:
    """The (entry id, event bytes) pairs of a buffer, in order. Raises ValueError if `buffer` is
    not a buffer."""

def buffer_halves(buffer: bytes) -> tuple[bytes, bytes] | None:
    """Split a buffer in two, in order. None if it has fewer than two entries. Raises ValueError
    if `buffer` is not a buffer."""

def buffer_of(entries: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A buffer of these (entry id, event bytes) pairs, in order, of any size and any slots. An
    event may be as large as a forwarded event (E21). Raises ValueError if an id is not that of an
    entry."""

def goal_events(buffers: Sequence[bytes], now_us: int) -> list[tuple[str, str, bytes]]:
    """(tenant, contact, buffer with this event alone) for each event of a type that goals can
    listen to, in order (E7). Skips events that cannot be decoded. Raises ValueError if one of
    `buffers` is not a buffer."""

def run_events(buffers: Sequence[bytes], now_us: int) -> list[tuple[str, str, bytes]]:
    """As `goal_events`, with the events that end enrollments, acknowledge exits, or undo payments
    and appointments (E21)."""

def time_us(text: str) -> int | None:
    """The microseconds since the Unix epoch of a time as events may have it, the text of a number
    included (E20). None for any other text."""

def intake(
    body: bytes, tenant_id: str, now_us: int, defaults: tuple[str, str] | None = None
) -> Intake:
    """Read the events of one tenant's request: a JSON object, or a list of up to 1,000.

    With `defaults`, a source and an id, an event may omit its source, its id, and its time, which
    is then `now_us` (E20). The events of a list get the id with a colon and their index.

    Applies the checks of `Router.route` and `Matcher.evaluate` and rejects with the same reasons
    (D4, D9), so that an accepted event is not dead-lettered later. Raises ValueError with the
    reason if the body is neither an object nor a list, or if the list is empty, too long, or
    cannot be split into items.
    """

@final
class Intake:
    """The events of a request body."""

    @property
    def is_list(self) -> bool: ...
    @property
    def accepted(
        self,
    ) -> list[tuple[int, str, bytes, int, str, str, str, tuple[str, str, int] | None]]:
        """(index, contact, bytes to publish, work, id, source, type, start), in order. The bytes
        are those of the body, so that numbers stay exact, with the attributes that were omitted.
        If `tenantid` is absent, the caller's is inserted. The work is that which does not depend
        on the enrollments of the contact, in the units of `Matcher.evaluate`. The start of an
        enrollment is its id, its workflow, and when it began in microseconds since the Unix
        epoch."""
    @property
    def rejected(self) -> list[tuple[int, str | None, str]]:
        """(index, the event's id if it can be read, reason), in order."""
    @property
    def of_other_tenants(self) -> list[int]:
        """The indices of the rejected events that are valid but name another tenant (D8)."""

@final
class Router:
    """Finds the slot of each event in its raw bytes and packs the entries into buffers."""

    def __new__(cls, shard_of_slot: bytes, *, max_buffer: int = 90_000) -> Self:
        """`shard_of_slot`: 256 bytes, the shard index of each slot; ValueError otherwise.
        `max_buffer`: the maximum bytes of a buffer, unless a single entry is larger."""

    def route(self, entries: Sequence[Any]) -> Routed:
        """Route stream entries, `[[id, [field, value, ...]], ...]`, all bytes.

        Preserves the order of the entries of a shard. An entry without a field `event`, or
        without a readable tenant and contact, is listed in `rejects`. Raises TypeError if
        `entries` has another shape.
        """

@final
class Routed:
    """The result of `Router.route`."""

    @property
    def buffers(self) -> list[tuple[int, bytes, int]]:
        """(shard, buffer, number of entries). Buffers of the same shard are in order."""
    @property
    def rejects(self) -> list[tuple[bytes, str, bytes]]:
        """(entry id, reason, event bytes or b"") of the entries that cannot be routed, in order
        (D4)."""

@final
class Matcher:
    """The goals and active enrollments of a range of slots, and their evaluation.

    Not thread-safe: a call during another call raises RuntimeError.
    """

    def __new__(
        cls,
        *,
        clock_skew_us: int = 0,
        max_enrollments_per_contact: int = 10_000,
        late_us: int = 0,
        high_fanout_above: int = 64,
    ) -> Self:
        """`clock_skew_us` loosens the comparison of event times with the times of enrollments and
        goals (E3). A contact with `max_enrollments_per_contact` active enrollments starts no
        further one (E5). Goals without a `conversion_window` watch an enrollment for `late_us`
        after its end (E18). Contacts with more than `high_fanout_above` enrollments are indexed by
        workflow, which changes no result."""
    def update_workflows(self, workflows: Sequence[Mapping[str, object]]) -> None:
        """Replace the configuration of these workflows (E8). Other workflows keep theirs.

        Each is `{"tenant_id", "workflow_id", "goal_logic": "any"|"all", "is_active": bool,
        "tag_case_sensitive": bool, false if absent, "goals": [{"id": UUID as text, "goal_type",
        "criteria": JSON text, "is_active": bool, "effective_from": us | None, "created_at": us,
        "position": int, "check_on_enrollment": bool, false if absent, "conversion_window": us |
        None, None if absent}]}`. Decimals in criteria are JSON strings or numbers. A goal whose
        `effective_from` is None was never activated and matches nothing. Atomic: raises ValueError
        and changes nothing if any workflow is invalid.
        Enrollments do not change: a changed goal by itself completes no enrollment. A proposal
        that was evaluated before can still be applied (E1).
        """
    def remove_workflows(self, workflows: Sequence[tuple[str, str]]) -> None:
        """Remove the configuration of these (tenant, workflow) pairs; unknown ones are ignored.

        Their enrollments stay and match nothing, as those of a workflow that was never configured
        (E5). A proposal that was evaluated before can still be applied (E1).
        """
    def keep_contacts(self, tenants: Sequence[str]) -> None:
        """These tenants have a projection of contacts from now on: the events that describe their
        contacts are in `Proposal.contact_events`."""
    def set_forward_secret(self, secret: str) -> None:
        """Set the secret of the keys of forwards. Call it before `set_forwards`."""
    def set_forwards(self, forwards: Sequence[tuple[str, str, str | None, Sequence[int]]]) -> None:
        """Add forwards (tenant, key as a UUID, contact, merges): events of a contact with this key
        are in `Proposal.forwarded`, as events of the other contact. `merges` has when Redis
        received the merges that led there, in order. Remove those without a contact. The
        enrollments of the contact must be removed with `evict`. Earlier proposals can still be
        applied. Raises ValueError for a key that is no UUID."""
    def load(self, rows: bytes) -> int:
        """Load the next chunk of a stream of enrollments in Postgres's binary COPY format.

        Columns: tenant_id, enrollment_id, contact_id, workflow_id (text), enrolled_at (bigint,
        us), met_goals (text: goal ids separated by commas, or empty), excludes (boolean: events may
        not count for it, see `Proposal.event_checks`; if the enrollment moved to its contact after
        it began, the time of that follows in the same column, as a bigint), match_values (text: a
        JSON object of texts, or empty). A chunk may end anywhere. A new stream begins after the
        trailer, after an error, and with a chunk that starts with the format's signature. Replaces
        enrollments that are already in memory. Returns the number of rows loaded by this call.
        Raises ValueError if the format is invalid; rows before the error are loaded.
        """
    def load_ended(self) -> bool:
        """Whether the last stream was complete, that is, ended with its trailer."""
    def ended_to_load(self, now_us: int) -> tuple[TenantId, int, int, int] | None:
        """The ends of a tenant's enrollments that memory lacks and that may be watched (E18): the
        tenant, the generation of what memory has of it, and two times in us; the ends before the
        first, back to the second, are missing. Of the tenants that lack some, the one whose latest
        missing end may be the latest. None if memory has all. Until then, events may cause
        `Proposal.ended_checks` in vain. Forgets ends of enrollments that are not watched any more
        at this time."""
    def add_ended(
        self,
        tenant: str,
        generation: int,
        rows: Sequence[tuple[str, int]],
        first: int,
        now_us: int,
    ) -> int | None:
        """Add ends of a tenant's enrollments (contact, us). With them, all ends that were missing
        at this generation are added back to the time `first`. Returns the time back to which ends
        are missing now; None if none are, or if the generation is another one because the tenant
        was configured otherwise. Earlier proposals can still be applied."""
    def mark_ended(self, contacts: Sequence[tuple[str, str]]) -> None:
        """These (tenant, contact) pairs get enrollments that have ended: their events cause
        `Proposal.ended_checks`. Earlier proposals can still be applied."""
    def evict(self, contacts: Sequence[tuple[str, str]]) -> None:
        """Remove the enrollments of these (tenant, contact) pairs from memory, for example before
        they are loaded again. Other enrollments of these contacts may have ended since they were
        loaded: their events cause `Proposal.ended_checks`."""
    def contacts_of(self, buffers: Sequence[bytes]) -> list[tuple[TenantId, ContactId]]:
        """The distinct (tenant, contact) pairs of the events in these buffers, sorted. Raises
        ValueError if one of `buffers` is not a buffer."""
    def evaluate(
        self,
        buffers: Sequence[bytes],
        now_us: int,
        *,
        shares: tuple[int, int] | None = None,
        deferred: Sequence[str] = ...,
        repeats: Sequence[tuple[str, str]] = ...,
        excluded: Sequence[tuple[str, str, str, int]] = ...,
        old_tags: Sequence[tuple[str, str, Sequence[int]]] = ...,
        states: Sequence[
            tuple[
                str, str, Sequence[tuple[str | None, str | None]], Sequence[tuple[str | None, str]]
            ]
        ] = ...,
        ended: Sequence[
            tuple[
                str,
                str,
                str,
                Sequence[tuple[str, bool]],
                Sequence[
                    tuple[
                        str,
                        str,
                        int,
                        int,
                        int,
                        Sequence[str],
                        str | None,
                        str | None,
                        Sequence[int],
                    ]
                ],
            ]
        ] = ...,
        defers_ended: bool = ...,
        only: Sequence[tuple[str, str, str]] | None = None,
        merges: Sequence[tuple[int, Sequence[int]]] = ...,
        origins: Sequence[tuple[int, str, bool]] = ...,
        executions: Mapping[str, object] | None = None,
    ) -> Proposal:
        """Evaluate the events of these buffers, in order (E1 to E6, E8, D9).

        Returns the changes as a proposal; memory does not change. Later events see the changes of
        earlier ones, and the proposal has the net effect. `now_us` is the current time, for the
        limit on times in the future. Raises ValueError if one of `buffers` is not a buffer.

        `shares` bound the work for each tenant and for each event, in units of about 100 ns (D8).
        Once the events of a tenant have used its share, its other events are `Proposal.deferred`,
        and so are all events once several tenants have used two shares. An event with more effects
        than its share has the first of them, and is deferred. Every call makes progress: its first
        event is evaluated, or has at least one effect. The events of the tenants `deferred` are
        deferred from the start.

        `repeats` are starts (tenant, enrollment id) that begin no active enrollment, because the
        id exists in Postgres or the contact was deleted later. They are never refused because of
        the limit of active enrollments, and do not count towards it. `excluded` are events that do
        not count for an enrollment (tenant, enrollment id, event key, time of receipt), of the
        `event_checks` of earlier evaluations of these buffers. `old_tags` are tags that are not new
        (tenant, event key, positions in the list of the event), of its `tag_checks`. `states` are
        the tags (id, name) and stages (pipeline, stage) of contacts when enrollments start (tenant,
        enrollment id), of its `state_checks`. `ended` are answers to its `ended_checks`: (tenant,
        contact, workflow, the events (key, whether it has counted in the workflow), the ended
        enrollments (id, status, `enrolled_at`, `ended_at`, when it began, goals that it has met,
        values as JSON, key of the event that started it, merges that moved it)). With
        `defers_ended`, events are deferred that would have further `ended_checks`, except the
        first event.

        With `only`, each event is judged for the enrollments (tenant, enrollment id, event key)
        that missed it while their workflow was paused, and changes nothing else (E19).

        `merges` has, by the index of a buffer, the merges that moved its contacts after Redis
        received its events (`Proposal.forwarded`). Such an event counts for enrollments that were
        moved by the same merges (E21). `origins` has (index of a buffer, merged contact, whether
        its events go back to that contact) of the buffers that other shards passed on.

        With `executions`, the executions of goald's own workflows are evaluated together with the
        goals (X1): each event is first judged for the goals of its contact, then it moves the
        executions of the contact. After all events follow the results, the timers that have fired,
        and at most one job for each execution. The events of executions only are
        `workflow.action.finished`, and the requests of the API: `workflow.execution.requested`
        (`workflow_id`, `key`: the idempotency key, `attributes`: an object, optional),
        `workflow.execution.cancel_requested` and `workflow.execution.retry_requested`
        (`execution_id`, `user`). The mapping has, all but the first optional:

        - `watermark_ms`: timers that are not later fire (X6). Call `advance_timers` with it before.
        - `inputs`: `{"kind", "tenant_id", "contact_id", "at_ms"}` with, by kind: cancel
          (`execution_id`, `reason`), migrate and resume (`execution_id`), fail (`execution_id`,
          `error`), hold (`execution_id`: timers, gates and due steps leave it as it is), gate
          (`execution_id`, `step_id`, `visit`, `attempt`, `gate`: open, closed, lost with
          `is_keyed`). All but gates follow the events of the buffers.
        - `grants`: the executions (tenant, contact, execution) that may start a step: they have a
          permit, if they need one, and a credit; None: all of the contacts that are evaluated.
        - `max_timers`: the most timers of one call, 1,000.
        - `only_events`: True: results and later phases follow in another call, after this proposal
          is committed. The results, and later events of their contacts, are `Proposal.deferred`;
          the same if events of their tenants are.
        - `contacts` (tenant, contact, position, `{"opted_in", "timezone", "tags": [(id, name)],
          "attributes": JSON object as text}`), `starts` (tenant, execution, whether the execution
          exists, last start of the contact in the workflow) and `excluded` (tenant, execution,
          event key): rows of Postgres, of the checks of earlier evaluations (`ExecutionProposal`).
        - `keep_failed_ms`: how long a failed execution can be retried, 30 days; `requires_opt_in`.

        Raises ValueError if it is invalid.
        """
    def apply(self, proposal: Proposal, effective: bytes, transitions: bytes | None = None) -> None:
        """Apply the committed effects and transitions of a proposal, or of a slice of one, to
        memory.

        `effective` has one byte for each effect: 1 if Postgres committed it, 0 if not, 3 if it is a
        committed start after events had counted for earlier enrollments (`Committed.effective`).
        `transitions` has one byte for each transition of executions: 1 or 0.
        Slices of a proposal must be applied in order. Raises ValueError and changes nothing if a
        length differs, or if memory changed after the evaluation: by `load`, `evict`, or an `apply`
        of another proposal.
        """
    def mark_missed(self, proposal: Proposal, dropped: Sequence[str] = ...) -> None:
        """The `missed_runs` of a proposal, or of its last slice, are committed, and it was applied:
        later events of these enrollments are not proposed as missed, until their workflow is
        activated or they are evicted. Those of the tenants in `dropped` were not kept, so later
        events are proposed."""
    def explain(
        self,
        event: bytes,
        now_us: int,
        *,
        excluded: Sequence[tuple[str, str]] = ...,
        old_tags: Sequence[int] = ...,
        state: tuple[
            str, str, Sequence[tuple[str | None, str | None]], Sequence[tuple[str | None, str]]
        ]
        | None = ...,
    ) -> str:
        """Explain the evaluation of one event, as JSON: each enrollment and goal of the contact,
        and the reason if it does not match. Changes nothing. Raises ValueError with the reason if
        the event is rejected.

        `{"event": {"id", "type", "tenant_id", "contact_id", "time": as sent}, "event_key",
        "asks_contact", "reason", "enrollments": [{"enrollment_id", "excludes", "workflow_id",
        "enrolled_at": us, "match": the values that it carries or null, "goal_logic", "matched",
        "completes", "reason", "goals": [{"goal_id", "goal_type", "matched", "achieved",
        "reason"}]}]}`. `achieved` and `completes` are what `evaluate` would propose.
        A reason is null if nothing prevents a match. `excluded` are the enrollments for which the
        event does not count (E11), with the reason; only those with `excludes` can be. `old_tags`
        are the positions of the tags in the event's list that the contact had before (E16). `state`
        is that of the contact, as in `evaluate`, if the event starts an enrollment whose goals are
        checked then (E22): this enrollment is the last one, with `"starts": true`. Neither matters
        unless `asks_contact`.
        """
    def set_zones(self, zones: Sequence[tuple[str, bytes]]) -> None:
        """Set the data of time zones (name, TZif file of RFC 9636), for waits for a wall time. UTC
        is always known. Raises ValueError if a file is invalid; zones before it are set."""
    def set_execution_settings(
        self, tenant_id: str, *, max_retries: int, retry_base_ms: int, notifies: bool
    ) -> None:
        """Set how often actions of a tenant are retried, the delay before the first retry, and
        whether its admin is notified of failed executions."""
    def update_plans(self, workflows: Sequence[Mapping[str, object]]) -> None:
        """Replace the plans of these workflows, and start or stop their timers (X10, X11).

        Each is `{"tenant_id", "workflow_id", "is_active": bool, "activated_at_ms": int | None,
        "overdue": "run"|"skip"|"cancel", "current_version": int | None, "versions": [(version,
        encoded plan)], "tag_case_sensitive": bool}`. Executions start with the current version;
        without one none starts. Steps that were due before `activated_at_ms` are treated as
        `overdue` says (X7). A version that is absent stays while executions use it. Raises
        ValueError at the first invalid workflow; those before it are replaced. Earlier proposals
        can still be applied.
        """
    def load_executions(self, rows: bytes) -> int:
        """Load the next chunk of a stream of executions in Postgres's binary COPY format, after
        their enrollments and plans.

        Columns: tenant_id, execution_id, contact_id, workflow_id (text), version (bigint), state,
        step_id (text), visit, attempt, retry_count, hops (bigint), zone (text), since, due_at
        (bigint, ms; -1 without a time), done_steps (text: ids separated by U+001F), migrates,
        used_event (boolean), since_seq (bigint). Chunks are those of `load`. Raises ValueError if
        the format is invalid, or an execution has no enrollment, plan or step in memory; rows
        before the error are loaded.
        """
    def load_executions_ended(self) -> bool:
        """Whether the last stream of executions was complete."""
    def advance_timers(self, watermark_ms: int) -> None:
        """Fire the timers that are not later than the watermark (X6). The next evaluations process
        them; proposals can still be applied."""
    def execution_counts(self, now_ms: int) -> dict[str, Any]:
        """The executions at this time: `states` (their number by state), `due` (those whose step is
        due), `oldest_due_ms` (when the first of these became due), `timers_held` (timers that are
        due and do not fire before the watermark is later), `oldest_timer_ms` (when the first timer
        was due that is not processed). None: there is none. Reads the timers that are due."""
    def execution_queues(self) -> list[tuple[str, str, str | None, int]]:
        """(tenant, action, connection, number of executions) of the queues of due steps that are
        not empty (X16). The action is empty for steps that are no actions: they need a permit
        only. Without a connection, the steps of an action are one queue."""
    def queued_executions(
        self, tenant_id: str, action: str, connection: str | None, limit: int
    ) -> list[tuple[str, str, str, int, bool]]:
        """(tenant, contact, execution, time at which its step became due, whether it has a permit)
        of the first executions in a queue: those that have a permit, then the others, the oldest
        first."""
    def executions_in(self, state: str) -> list[tuple[str, str, str]]:
        """(tenant, contact, execution) of the executions in a state. Reads all executions. Raises
        ValueError if there is no such state."""
    def stats(self) -> dict[str, int]:
        """`tenants`, `workflows`, `goals`, `contacts`, `enrollments`, `listeners` (pairs of an
        active goal of an active workflow and an active enrollment), `ended_contacts` (contacts with
        ended enrollments that may be watched, E18), `ended_contacts_dropped` (those that were
        dropped because there were too many), and `bytes` of memory."""

@final
class Proposal:
    """The changes that a batch of events proposes, or a slice of them.

    An *effect* is the net change to one enrollment. Achievements and exits refer to their effect
    by its index. A *transition* is the net change to one execution; its enrollment starts and ends
    by an effect.

    A slice is a proposal with a run of the effects and a run of the transitions, in order, and the
    rows that belong to them; its indices start at 0. Everything that belongs to none is part of the
    last slice: event counts, rejects, deletions, acknowledgements, reversals and events that
    describe contacts.
    """

    def slices(self, max_effects: int, max_bytes: int) -> list[Proposal]:
        """Split the whole proposal into slices of at most `max_effects` effects and transitions,
        and about `max_bytes` bytes to be written. Returns at least one slice. A slice has at least
        one of them, even if that exceeds `max_bytes`. All of a contact with transitions are in one
        slice, at any size: no later phase of it is committed before its first phase (X1). Runs of
        a contact through a workflow that the batch starts, and those for which an event counts, are
        in one slice, at any size: Postgres knows their order by their transactions (E11)."""
    def halves(self) -> tuple[Proposal, Proposal] | None:
        """Split this slice in two, in order. None if it holds a single effect, or one contact with
        transitions, or nothing. Separates such runs only if the slice has no others."""

    @property
    def executions(self) -> ExecutionProposal | None:
        """The changes of executions. None if the whole proposal has none."""
    @property
    def events(self) -> int:
        """The number of events that were evaluated, including rejected ones."""
    @property
    def work(self) -> int:
        """Units of work that the evaluation did. Depends on nothing but the events and memory."""
    @property
    def deferred_events(self) -> int:
        """The number of events in `deferred`."""
    @property
    def deferred(self) -> list[tuple[int, str, int, bytes]]:
        """(index of the buffer, tenant, number of events, buffer of these events) of the events
        that must be evaluated after this proposal is committed, those of one tenant in order. Of
        the first one, a part of the effects may be in this proposal; evaluated again, it has the
        others."""
    @property
    def refused_starts(self) -> int:
        """The number of starts in `rejects` because of the limit of active enrollments."""
    @property
    def doubtful_starts(self) -> list[tuple[str, str, str, int]]:
        """(tenant, enrollment, contact, enrolled_at) of the starts on which these rejections
        depend: the rejected ones, and the others of their contacts that the proposal has; and of
        the starts for which events count before others of the contact start in the workflow. If
        one of them is a repeat that `evaluate` did not know, the proposal must be evaluated
        again."""
    @property
    def event_checks(self) -> list[tuple[str, str, str, str, str, int, int]]:
        """(tenant, contact, workflow, enrollment, event key, time of receipt, time of receipt of
        the first merge that moved the contact of the event afterwards or 0) of events that count
        for an enrollment unless Postgres excludes them (E11, E21). If it does and `evaluate` did
        not know, the proposal must be evaluated again."""
    @property
    def ended_checks(self) -> list[tuple[str, str, str, str, int, int, int, bool]]:
        """(tenant, contact, workflow, event key, time, since when enrollments began, since when
        enrollments ended, whether it counts) of events that may count for ended enrollments of
        their contacts in a workflow (E18): for those that began at or before the time, and began or
        ended since one of the others. If Postgres has some, and the event has not counted in the
        workflow; or if it has, and counts for an enrollment that this batch ends; then the proposal
        must be evaluated again."""
    @property
    def tag_checks(self) -> list[tuple[tuple[str, str, int, str, str, int, str, int], int, int]]:
        """(event as in `contact_events`, number of `contact_events` and of `deletions` that precede
        it) of events with a list of tags that meet goals, unless their contacts had some of the
        tags before (E16). If they had and `evaluate` did not know, the proposal must be evaluated
        again."""
    @property
    def state_checks(self) -> list[tuple[str, str, str, str | None, int, int]]:
        """(tenant, contact, enrollment, key of the event that started it, number of
        `contact_events` and of `deletions` that precede the start) of starts whose goals the state
        of the contact may meet (E22). If the contact has tags or stages and `evaluate` did not
        know, the proposal must be evaluated again."""
    @property
    def ignored(self) -> int:
        """The number of events of types that goald does not read."""
    @property
    def events_by_type(self) -> dict[str, int]:
        """The number of events of each type that goald reads."""
    @property
    def changes_nothing(self) -> bool:
        """Whether there are no rows to commit. There may be rejects."""
    @property
    def effects(self) -> Effects: ...
    @property
    def achievements(self) -> Achievements: ...
    @property
    def exits(self) -> Exits: ...
    @property
    def used_events(self) -> list[tuple[int, str, int]]:
        """(effect, event key) of the events that count for enrollments, in order (E11)."""
    @property
    def deletions(self) -> list[tuple[str, str, int, int]]:
        """(tenant, contact, slot, time) of deleted contacts, whose payloads must be redacted."""
    @property
    def acknowledgements(self) -> list[tuple[str, str, str, str, int, int | None, int]]:
        """(tenant, enrollment, contact, workflow, slot, cancelled actions, time) of exits that
        the workflow engine has processed."""
    @property
    def reversals(self) -> list[tuple[str, str, int, GoalType, str | None, int]]:
        """(tenant, contact, slot, goal type, id of the payment or appointment, time) of refunds and
        cancelled appointments."""
    @property
    def contact_events(self) -> list[tuple[str, str, int, str, str, int, str, int]]:
        """(tenant, contact, slot, event type, event key, time, `data` as JSON, its own time) of the
        events that describe their contacts, in order: `contact.updated`, and of tenants that have a
        projection also events about tags and pipeline stages. The time is that of the event, or
        when Redis received it if that is earlier."""
    @property
    def missed_events(self) -> list[tuple[str, str, int, str, str, bytes, list[int]]]:
        """(tenant, contact, slot, event key, stream entry id, event bytes, positions of the tags in
        its list that the contact had before) of the events that would have counted for enrollments
        of paused workflows (E19)."""
    @property
    def missed_runs(self) -> list[tuple[int, str, str]]:
        """(index of the missed event, workflow, enrollment) of enrollments of paused workflows that
        are not known to have missed an earlier event."""
    @property
    def merges(self) -> list[tuple[str, str, int, str, str, int, int]]:
        """(tenant, contact, slot, contact that continues it, event key, time, time of receipt) of
        merged contacts, in order. Later events of these tenants are deferred."""
    @property
    def merge_sources(self) -> list[tuple[int, bytes, bytes, int, bytes]]:
        """For each of `merges`: (index of the buffer, entry id, event bytes), and (slot, buffer)
        with the event that asks for the enrollments in the slot of the contact that continues."""
    @property
    def forwarded(self) -> list[tuple[int, int, bytes, list[int], str]]:
        """(index of the buffer, slot, buffer, merges, merged contact) of the events whose contacts
        were merged into others, as events of those contacts, in order. `merges` has when Redis
        received the merges that moved their contacts after it received the events. It received the
        events for the merged contact, which is empty if they go back to it."""
    @property
    def rejects(self) -> list[tuple[int, bytes, str, bytes]]:
        """(index of the buffer, entry id, reason, event bytes) of the events to dead-letter
        (D4)."""
    def rejects_given_owners(
        self,
        owners: Sequence[tuple[int, str, str]],
        ended: Sequence[tuple[int, int, int | None]] = ...,
    ) -> list[tuple[int, bytes, str, bytes]]:
        """`rejects`, if Postgres has the enrollment ids of some effects under another contact or
        workflow (E5): `owners` has (effect, contact, workflow). Of the events that name such an
        id, exactly those that differ from its owner are rejected, in whatever order they came.
        `ended` has (effect, enrolled_at, accepted until) of effects whose enrollments had ended
        before: starts by the owner at another time are rejected, unless they are accepted (E12).
        Raises IndexError if there is no such effect."""
    @property
    def contenders(self) -> list[tuple[int, str, str]]:
        """(effect, contact, workflow) of the events that name the enrollment id of an effect
        under another contact or workflow, although an event of that effect came first."""
    def contender_is_owner(self, effect: int, contact: str, workflow: str) -> bool:
        """Whether an event of the batch names the effect's enrollment id under this contact and
        workflow, although an event of another contact or workflow came first. Raises IndexError
        if there is no such effect."""

@final
class Effects:
    """One row for each enrollment that the batch changes. Each column is a list, built when it is
    read; columns have equal lengths."""

    tenant_id: list[str]
    enrollment_id: list[str]
    contact_id: list[str]
    workflow_id: list[str]
    slot: list[int]
    is_new: list[bool]
    """True: the commit inserts a row. False: it updates a row."""
    after_end: list[bool]
    """True: the enrollment had ended. It meets goals by later events, and keeps its status."""
    status: list[EnrollmentStatus]
    """The status after the batch."""
    enrolled_at: list[int]
    ended_at: list[int | None]
    """The time of the event that ended the enrollment. With `after_end`, of the event with which
    its goals are met."""
    met_goals: list[list[str]]
    """The ids of the goals that the batch meets, UUIDs as text."""
    pending_actions: list[int | None]
    started_by: list[str | None]
    """The key of the event that started a new enrollment."""
    match_values: list[str | None]
    """The values that a new enrollment carries, as a JSON object of texts."""
    after_event: list[str | None]
    """The key of the last event of the batch that counted for the contact in the workflow before a
    new enrollment started."""
    received_at: list[int | None]
    """When Redis received the start of a new enrollment that is dated ahead of it; else None."""
    merges: list[list[int]]
    """When Redis received the merges that moved the contact of a new enrollment after its start."""
    def __len__(self) -> int: ...

@final
class Achievements:
    """One row for each goal that an enrollment meets, in columns like `Effects`."""

    effect: list[int]
    id: list[str]
    goal_id: list[str]
    goal_type: list[GoalType]
    achieved_at: list[int]
    trigger_event: list[str]
    """The event's `data` as JSON that Postgres can store as jsonb."""
    metadata: list[str]
    """The event's attributes as JSON: `event_id`, `source`, `type`, `time`, and `traceparent` if
    the event has one."""
    def __len__(self) -> int: ...

@final
class Exits:
    """One row for each enrollment that ends because its goals are met, in columns like
    `Effects`."""

    effect: list[int]
    id: list[str]
    goal_type: list[GoalType]
    goal_ids: list[list[str]]
    """Every goal that the enrollment has met, UUIDs as text."""
    achieved_at: list[int]
    event_id: list[str]
    event_source: list[str]
    event_type: list[str]
    traceparent: list[str | None]
    received_at: list[int]
    """The time in the id of the event's stream entry."""
    def __len__(self) -> int: ...

@final
class ExecutionProposal:
    """The changes of executions in a proposal, or in a slice of one. Times are milliseconds since
    the Unix epoch. The rows that belong to no transition are part of the last slice.
    """

    @property
    def transitions(self) -> ExecutionTransitions: ...
    @property
    def logs(self) -> ExecutionLogs: ...
    @property
    def answers(self) -> list[tuple[int | None, str | None, str, str, str, str | None]]:
        """(index of the input, id of the event, tenant, contact, answer, execution) of
        cancellations and migrations
        among the inputs, and of the requests among the events: started, repeated, duplicate,
        already_running, not_allowed_again, opted_out, inactive_workflow, accepted, not_failed,
        not_found."""
    @property
    def delays(self) -> list[tuple[str, str, str | None, int | None]]:
        """(tenant, action, connection, until) of connections, or of actions without one, whose jobs
        must wait (X5). Until None: until the connection is resumed."""
    @property
    def notifications(self) -> list[tuple[int, str, str | None]]:
        """(transition, `failed` or `connection_paused`, masked error) for the tenant's admin."""
    @property
    def postponed(self) -> list[int]:
        """The indices of the gates among the inputs that must be given again, with `only_events` or
        because an event of their tenant is evaluated further after the commit."""
    @property
    def unused_grants(self) -> list[tuple[str, str]]:
        """(tenant, execution) of grants whose executions have no permit after the proposal."""
    @property
    def contact_checks(self) -> list[tuple[str, str, int, int, int]]:
        """(tenant, contact, position, number of `Proposal.contact_events` and of
        `Proposal.deletions` that precede the question) of contacts whose rows were missing. The
        position counts those of the contact. The proposal must be evaluated again with them."""
    @property
    def start_checks(self) -> list[tuple[str, str, str, str]]:
        """(tenant, contact, workflow, execution) of starts whose rows were missing. The proposal
        must be evaluated again with them."""
    @property
    def event_checks(self) -> list[tuple[int, str]]:
        """(transition, event key) of events that end a wait unless they have ended one of the
        execution before. If one has and `evaluate` did not know, the proposal must be
        evaluated again."""

@final
class ExecutionTransitions:
    """One row for each execution that changes, in columns like `Effects`."""

    tenant_id: list[str]
    contact_id: list[str]
    slot: list[int]
    workflow_id: list[str]
    execution_id: list[str]
    effect: list[int | None]
    """The effect on its enrollment, if the transition starts or ends the execution: the transition
    is committed only if the effect is."""
    version: list[int]
    guard: list[tuple[str, int, int, str] | None]
    """(step id, visit, attempt, state) that the row must have (X3). None: the commit inserts a
    row."""
    state: list[str]
    """queued, ready, running, sleeping, listening, backing_off, rate_limited, on_hold, inactive or
    failed. Of an ended execution the last one."""
    status: list[str]
    waiting_for: list[str | None]
    reason: list[str | None]
    """Why it ended; None: it is live."""
    step_id: list[str]
    """Empty at the end of the plan."""
    step_index: list[int]
    """Counted from 1."""
    total_steps: list[int]
    visit: list[int]
    attempt: list[int]
    retry_count: list[int]
    hops: list[int]
    action: list[str | None]
    """The action type of its step; None: the step is no action."""
    connection: list[str | None]
    zone: list[str]
    since_ms: list[int]
    """When the wait began, or the step became due."""
    since_seq: list[int]
    """The sequence within `since_ms` of the stream entry with which a wait for an event began; else
    0."""
    due_ms: list[int | None]
    done_steps: list[list[str]]
    """The ids of the steps to add to those that are done."""
    variables: list[str | None]
    """Of a new execution, what its templates need of its start: a JSON object with the `attributes`
    of the request, or the event as `trigger`, if they name it."""
    started_at_ms: list[int]
    migrates: list[bool]
    used_event: list[bool]
    used_events: list[list[str]]
    """The keys of the events that ended its waits, to be kept for the execution."""
    job: list[tuple[str, str, int] | None]
    """(idempotency key, `with` as JSON, hops) of the job of its action to publish."""
    closes_gate: list[bool]
    """Whether the gate of the guard's attempt must be closed before the commit (X2)."""
    had_permit: list[bool]
    has_permit: list[bool]
    is_first_phase: list[bool]
    """Whether only events changed it."""
    def __len__(self) -> int: ...

@final
class ExecutionLogs:
    """The rows of the log, in order, in columns like `Effects`."""

    transition: list[int | None]
    """The row is written only if this transition is committed. None: it belongs to none, and has
    its tenant, contact, workflow and execution itself, as far as they are known."""
    tenant_id: list[str | None]
    contact_id: list[str | None]
    workflow_id: list[str | None]
    execution_id: list[str | None]
    event_type: list[str]
    at_ms: list[int]
    step_index: list[int | None]
    """Counted from 1."""
    step_id: list[str | None]
    attempt: list[int]
    duration_ms: list[int | None]
    message: list[str | None]
    """Contains no data of contacts."""
    user: list[str | None]
    """The id of the user whose request it was."""
    def __len__(self) -> int: ...
