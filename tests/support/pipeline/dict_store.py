"""An in-memory table of enrollments, with the guarded commit of the Postgres store.

As in Postgres, a commit inserts a new enrollment unless its id exists, updates an enrollment only
while it is active, and stores achievements and exits only for enrollments that it has inserted or
updated. Loads return rows in the binary COPY format.
"""

import struct
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field

from goald import _native
from goald.domain.contacts.merging import Merge, StoredContact
from goald.domain.contacts.projection import Contact, EventRef
from goald.domain.ids import TenantId
from goald.ports.shard_store import (
    EndedCheck,
    EnrollmentStart,
    EventCheck,
    Excluded,
    WatchedRun,
    WatchedRuns,
)

COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = b"\xff\xff"


@dataclass
class Row:
    contact: str
    workflow: str
    status: str
    enrolled_at: int
    ended_at: int | None
    met: list[str]
    pending_actions: int | None
    started_by: str | None = None
    match_values: str | None = None
    met_after_end: int | None = None
    excluded: frozenset[str] = frozenset()
    """The keys of events that counted for earlier enrollments."""
    merges: tuple[int, ...] = ()
    """When the merges were received that have moved it."""
    start_is_known: bool = True

    @property
    def is_end_only(self) -> bool:
        no_goal = self.status != "completed_goal" and not self.met
        is_known = self.ended_at != self.enrolled_at or self.start_is_known
        return no_goal and not is_known

    @property
    def may_meet(self) -> bool:
        """Whether it has ended, otherwise than by its goals, and has goals to meet (E18)."""
        is_ended = self.status in ("completed", "exited", "cancelled")
        return (
            is_ended
            and self.met_after_end is None
            and self.ended_at is not None
            and (self.ended_at > self.enrolled_at or self.start_is_known)
        )

    @property
    def excludes(self) -> bool:
        return bool(self.excluded or self.merges) or self.started_by is not None


@dataclass
class DictStore:
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    achievements: list[tuple[str, str, str, str, int, bool]] = field(default_factory=list)
    """(tenant, enrollment, goal id, goal type, achieved at, after its end)"""
    exits: list[tuple[str, str, str, tuple[str, ...], int, str, str]] = field(default_factory=list)
    """(tenant, enrollment, goal type, goal ids, achieved at, event id, event source)"""

    deleted: dict[tuple[str, str], int] = field(default_factory=dict)
    """The greatest time of a deletion, by tenant and contact."""
    missed: dict[tuple[str, str], tuple[str, bytes, bytes, list[int]]] = field(default_factory=dict)
    """By tenant and enrollment: the key, entry id, bytes and old tags of the event (E19)."""
    used: dict[tuple[str, str, str], dict[str, int]] = field(default_factory=dict)
    """By tenant, contact and workflow: the keys of events that counted, with the latest
    `enrolled_at` of their enrollments."""

    contacts_known: dict[tuple[str, str], Contact] = field(default_factory=dict)
    case_sensitive_tenants: set[str] = field(default_factory=set)
    """Those that distinguish names of tags by case."""

    def commit(self, proposal: _native.Proposal) -> tuple[bytes, list[bytes]]:
        """Commit what is valid. Returns a mark for each effect, and the ids of rejected entries."""
        marks = bytearray()
        owners: list[tuple[int, str, str]] = []
        ended: list[tuple[int, int, int | None]] = []
        effects = proposal.effects
        keys = list(zip(effects.tenant_id, effects.enrollment_id, strict=True))
        for number, key in enumerate(keys):
            row = Row(
                contact=effects.contact_id[number],
                workflow=effects.workflow_id[number],
                status=effects.status[number],
                enrolled_at=effects.enrolled_at[number],
                ended_at=effects.ended_at[number],
                met=list(effects.met_goals[number]),
                pending_actions=effects.pending_actions[number],
                started_by=effects.started_by[number],
                match_values=effects.match_values[number],
                start_is_known=effects.status[number] == "active"
                or effects.received_at[number] is not None,
            )
            if effects.after_end[number]:
                marks.append(self._write_after_end(key, row))
                continue
            deleted = self.deleted.get((key[0], row.contact))
            if effects.is_new[number] and deleted is not None and row.enrolled_at <= deleted:
                self._write_deleted(key, row)
                marks.append(False)
            else:
                marks.append(self._write(key, row, effects.is_new[number]))
            stored = self.rows[key]
            if not marks[-1] and effects.is_new[number] and stored.status != "active":
                until = (
                    [self.deleted[key[0], stored.contact]]
                    if (key[0], stored.contact) in self.deleted
                    else []
                )
                until += [stored.enrolled_at] if stored.is_end_only else []
                ended.append((number, stored.enrolled_at, max(until, default=None)))
            if not marks[-1] and (stored.contact, stored.workflow) != (row.contact, row.workflow):
                owners.append((number, stored.contact, stored.workflow))
        self._use(proposal, keys, marks)
        self._keep_records(proposal, keys, marks)
        self._describe(proposal)
        for number, workflow, enrollment in proposal.missed_runs:
            tenant, contact, _, event, entry, payload, old = proposal.missed_events[number]
            row = self.rows[tenant, enrollment]
            if (row.contact, row.workflow, row.status) == (contact, workflow, "active"):
                missed = (event, entry.encode(), payload, old)
                self.missed.setdefault((tenant, enrollment), missed)
        for tenant, contact, _, at in proposal.deletions:
            self.deleted[tenant, contact] = max(at, self.deleted.get((tenant, contact), at))
            self._erase_uses(tenant, contact, at)
        return bytes(marks), [
            entry for _, entry, _, _ in proposal.rejects_given_owners(owners, ended)
        ]

    def distinguish_tags(self, tenant: str, by_case: bool) -> None:
        """Change the setting of a tenant."""
        tenants = self.case_sensitive_tenants
        (tenants.add if by_case else tenants.discard)(tenant)
        for (of, _), contact in self.contacts_known.items():
            if of == tenant:
                contact.compare_tags(by_case=by_case)

    def _describe(self, proposal: _native.Proposal) -> None:
        """Write the projection, as the Postgres store does."""
        merge = Merge(self.contacts_known, self.case_sensitive_tenants)
        for tenant, contact, _, kind, event, time, data, dated in proposal.contact_events:
            if time > self.deleted.get((tenant, contact), time - 1):
                merge.apply((tenant, contact), kind, EventRef(time, event, dated), data)
        latest: dict[tuple[str, str], int] = {}
        for tenant, contact, _, at in proposal.deletions:
            latest[tenant, contact] = max(at, latest.get((tenant, contact), at))
        merge.erase(latest)

    async def contacts(
        self, contacts: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], StoredContact]:
        """As `ShardStore.contacts`."""
        return {
            key: StoredContact(
                deepcopy(
                    self.contacts_known.get(
                        key, Contact(by_case=key[0] in self.case_sensitive_tenants)
                    )
                ),
                self.deleted.get(key),
            )
            for key in contacts
        }

    def _use(
        self, proposal: _native.Proposal, keys: list[tuple[str, str]], marks: bytearray
    ) -> None:
        effects = proposal.effects
        runs = list(zip(effects.tenant_id, effects.contact_id, effects.workflow_id, strict=True))
        # Those that were used before this batch, in the order of the events.
        before = {run: list(self.used.get(run, ())) for run in runs}
        order = {run: list(events) for run, events in before.items()}
        for effect, event, _ in proposal.used_events:
            if marks[effect]:
                if event not in order[runs[effect]]:
                    order[runs[effect]].append(event)
                uses = self.used.setdefault(runs[effect], {})
                at = effects.enrolled_at[effect]
                uses[event] = max(at, uses.get(event, at))
        for number, key in enumerate(keys):
            if not marks[number] or not effects.is_new[number] or self.rows[key].ended_at:
                continue
            events, after = order[runs[number]], effects.after_event[number]
            known = before[runs[number]]
            if after in events:
                known = events[: max(len(known), events.index(after) + 1)]
            self.rows[key].excluded = frozenset(known)
            if known:
                marks[number] |= 2

    def _erase_uses(self, tenant: str, contact: str, at: int) -> None:
        for (of_tenant, of_contact, workflow), uses in self.used.items():
            if (of_tenant, of_contact) == (tenant, contact):
                needed = {
                    event
                    for (owner, _), row in self.rows.items()
                    if (owner, row.contact, row.workflow) == (tenant, contact, workflow)
                    and row.status == "active"
                    for event in row.excluded
                }
                for event in [e for e, began in uses.items() if began <= at and e not in needed]:
                    del uses[event]

    async def excluded(self, checks: Sequence[EventCheck]) -> set[Excluded]:
        """As `ShardStore.excluded`."""
        return {
            Excluded(check.tenant_id, check.enrollment_id, check.event, check.received_at)
            for check in checks
            if self._is_excluded(check)
        }

    def _is_excluded(self, check: EventCheck) -> bool:
        row = self.rows.get((check.tenant_id, check.enrollment_id))
        if row is not None:
            after = [merge for merge in row.merges if merge > check.received_at]
            is_of_other = min(after, default=0) != check.next_merge
            return is_of_other or check.event == row.started_by or check.event in row.excluded
        return check.event in self.used.get(check[:3], ())

    async def ended(self, checks: Sequence[EndedCheck]) -> WatchedRuns:
        """As `ShardStore.ended`."""
        asked = {check[:3] for check in checks}
        runs: dict[tuple[str, str, str], list[WatchedRun]] = {}
        for (tenant, enrollment), row in self.rows.items():
            key = tenant, row.contact, row.workflow
            deleted = self.deleted.get((tenant, row.contact), row.enrolled_at - 1)
            if key in asked and row.may_meet and deleted < row.enrolled_at:
                run = WatchedRun(
                    enrollment, row.status, row.enrolled_at, row.ended_at or 0, row.enrolled_at,
                    list(row.met), row.match_values, row.started_by, row.merges,
                )  # fmt: skip
                runs.setdefault(key, []).append(run)
        return WatchedRuns(
            runs, {each for each in checks if each.event in self.used.get(each[:3], ())}
        )

    def ends(self, tenant: str) -> list[tuple[str, int]]:
        """(contact, time) of a tenant's enrollments that have ended otherwise than by goals."""
        return [
            (row.contact, row.ended_at)
            for (of, _), row in self.rows.items()
            if of == tenant and row.ended_at is not None and row.status != "completed_goal"
        ]

    async def repeats(self, starts: Sequence[EnrollmentStart]) -> set[tuple[TenantId, str]]:
        """As `ShardStore.repeats`."""
        return {
            (tenant, enrollment)
            for tenant, enrollment, contact, enrolled_at in starts
            if (tenant, enrollment) in self.rows
            or enrolled_at <= self.deleted.get((tenant, contact), enrolled_at - 1)
        }

    def _write_deleted(self, key: tuple[str, str], row: Row) -> None:
        """Insert an enrollment that began before its contact was deleted."""
        row.status, row.ended_at, row.met = "cancelled", row.enrolled_at, []
        self.rows.setdefault(key, row)

    def _write(self, key: tuple[str, str], row: Row, is_new: bool) -> bool:
        stored = self.rows.get(key)
        if is_new:
            return self.rows.setdefault(key, row) is row
        if stored is None or stored.status != "active":
            return False
        stored.status, stored.ended_at = row.status, row.ended_at
        stored.met += row.met
        return True

    def _write_after_end(self, key: tuple[str, str], row: Row) -> bool:
        stored = self.rows.get(key)
        if (
            stored is None
            or (stored.contact, stored.workflow) != (row.contact, row.workflow)
            or not stored.may_meet
            or not set(stored.met).isdisjoint(row.met)
        ):
            return False
        stored.met += row.met
        stored.met_after_end = row.ended_at
        return True

    def _keep_records(
        self, proposal: _native.Proposal, keys: list[tuple[str, str]], marks: bytearray
    ) -> None:
        achievements = proposal.achievements
        columns = zip(
            achievements.effect,
            achievements.goal_id,
            achievements.goal_type,
            achievements.achieved_at,
            strict=True,
        )
        for effect, goal, goal_type, at in columns:
            if marks[effect]:
                after_end = proposal.effects.after_end[effect]
                self.achievements.append((*keys[effect], goal, goal_type, at, after_end))
        exits = proposal.exits
        for number, effect in enumerate(exits.effect):
            if marks[effect]:
                self.exits.append(
                    (
                        *keys[effect],
                        exits.goal_type[number],
                        tuple(exits.goal_ids[number]),
                        exits.achieved_at[number],
                        exits.event_id[number],
                        exits.event_source[number],
                    )
                )

    def copy_active(self, contacts: Sequence[tuple[str, str]]) -> bytes:
        """Return the active enrollments of these contacts."""
        rows = [
            copy_row(
                tenant,
                enrollment,
                row.contact,
                row.workflow,
                row.enrolled_at,
                row.met,
                row.excludes,
                row.match_values,
            )
            for (tenant, enrollment), row in self.rows.items()
            if row.status == "active" and (tenant, row.contact) in contacts
        ]
        return COPY_HEADER + b"".join(rows) + COPY_TRAILER


def copy_row(
    tenant: str,
    enrollment: str,
    contact: str,
    workflow: str,
    enrolled_at: int,
    met: list[str],
    excludes: bool = False,
    match_values: str | None = None,
) -> bytes:
    """One row of `Matcher.load`."""
    texts = [text.encode() for text in (tenant, enrollment, contact, workflow)]
    fields = [*texts, struct.pack(">q", enrolled_at), ",".join(met).encode(), bytes([excludes])]
    fields.append((match_values or "").encode())
    return struct.pack(">h", 8) + b"".join(struct.pack(">i", len(f)) + f for f in fields)
