"""Writes a change within one transaction, with one statement over arrays for each kind of row.

An effect that neither inserts nor updates its enrollment is a repeat, a conflict with an enrollment
of another contact or workflow (E5), or a sign that memory is stale.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from goald.adapters.postgres.shard import statements
from goald.adapters.postgres.shard.erasure import Contact, Tombstones, new_pseudonym
from goald.adapters.postgres.shard.reversals import undo
from goald.adapters.postgres.shard.used_events import Uses
from goald.domain.configuration.goals import TYPE_BITS
from goald.domain.fail_points import FailPoint, FailPointHook
from goald.domain.ids import TenantId
from goald.domain.records.erasure import PSEUDONYM_PREFIX, Tombstone, contact_of_row
from goald.domain.slots import SlotRange
from goald.domain.streams import OutboundStream
from goald.ports.change import (
    EFFECTIVE,
    EXCLUDES,
    AchievementColumns,
    Acknowledgement,
    Change,
    Committed,
    Conflict,
    Contender,
    EffectColumns,
    EndedRun,
)
from goald.ports.outbound import Message
from goald.ports.outbox import OutboxRow, StoredMessage
from goald.ports.shard_store import EnrollmentStart


class _Owner(NamedTuple):
    """The enrollment that has an id; empty if it is in the slots of another shard."""

    contact: str = ""
    workflow: str = ""
    status: str = ""
    enrolled_at: int = 0
    may_be_end_only: bool = False
    """Perhaps only its end is known."""


class _Effects:
    """The columns of a change's effects, in the types that the statements expect, and which effects
    have changed a row.

    `met_goals` holds Postgres array literals. `last_achieved` and `met_types` come from the
    achievements of each effect (E6, E9).
    """

    def __init__(self, effects: EffectColumns, achievements: AchievementColumns) -> None:
        self.tenant = effects.tenant_id
        self.enrollment = effects.enrollment_id
        self.contact = effects.contact_id
        self.workflow = effects.workflow_id
        self.slot = effects.slot
        self.is_new = effects.is_new
        self.status = effects.status
        self.enrolled_at = effects.enrolled_at
        self.ended_at = effects.ended_at
        self.met_goals = [array_literal(goals) for goals in effects.met_goals]
        self.pending_actions = effects.pending_actions
        self.started_by = effects.started_by
        self.last_achieved: list[int | None] = [None] * len(effects)
        self.met_types = [0] * len(effects)
        for i, goal_type, at in zip(
            achievements.effect, achievements.goal_type, achievements.achieved_at, strict=True
        ):
            before = self.last_achieved[i]
            self.last_achieved[i] = at if before is None else max(before, at)
            self.met_types[i] |= TYPE_BITS[goal_type]
        self.effective = bytearray(len(effects))

    def new_contacts(self) -> Iterator[Contact]:
        """The contacts of the effects that insert an enrollment."""
        for i, is_new in enumerate(self.is_new):
            if is_new:
                yield self.tenant[i], self.contact[i]

    def stored_contacts(self, deleted: Mapping[Contact, Tombstone]) -> Sequence[str]:
        """The contacts to store: a pseudonym if a contact was deleted and only the end of an
        enrollment is known, because it may have begun before the deletion."""
        if not deleted:
            return self.contact
        return [
            tombstone.pseudonym or new_pseudonym()
            if (tombstone := deleted.get((self.tenant[i], contact))) is not None
            and self.enrolled_at[i] == self.ended_at[i]
            and self.met_goals[i] == "{}"
            else contact
            for i, contact in enumerate(self.contact)
        ]

    def mark_inserted(self, indexes: Iterable[int], rows: Sequence[Any]) -> list[int]:
        """As `mark_effective`, for rows (tenant, id, excludes)."""
        excluding = {(tenant, id_) for tenant, id_, excludes in rows if excludes}
        indexes = list(indexes)
        rest = self.mark_effective(indexes, ((tenant, id_) for tenant, id_, _ in rows))
        for i in indexes if excluding else ():
            if (self.tenant[i], self.enrollment[i]) in excluding and self.effective[i]:
                self.effective[i] |= EXCLUDES
        return rest

    def mark_effective(self, indexes: Iterable[int], rows: Iterable[Any]) -> list[int]:
        """Mark the effects with a returned row (tenant, id). Returns the other `indexes`."""
        index_of = {(self.tenant[i], self.enrollment[i]): i for i in indexes}
        for tenant, enrollment in rows:
            self.effective[index_of.pop((tenant, enrollment))] = EFFECTIVE
        return list(index_of.values())


def array_literal(ids: Sequence[str]) -> str:
    """UUIDs as a Postgres array literal: `{}` or `{a,b}`. (asyncpg has no way to send an array
    for each element of an array.)"""
    return f"{{{','.join(ids)}}}"


async def write(
    connection: Any,
    change: Change,
    slots: SlotRange,
    tombstones: Tombstones,
    fail_point: FailPointHook,
    exits_wait: bool = False,
    publishes_refunds: bool = False,
) -> Committed:
    """Write a change in the transaction of the caller, which holds the lease of these slots.

    `exits_wait`: mark exits to be published again until they are acknowledged.
    `publishes_refunds`: add a notice for each enrollment whose payment was refunded.
    """
    effects = _Effects(change.effects, change.achievements)
    deleted = await tombstones.of(connection, slots, effects.new_contacts())
    uses = Uses(change)
    await uses.allocate_numbers(connection)
    existing = await _insert(connection, effects, deleted, uses)
    owners = await _owners(connection, effects, existing) if existing else {}
    if any(owner.contact.startswith(PSEUDONYM_PREFIX) for owner in owners.values()):
        contenders = [row for row in change.contenders if row.effect in owners]
        others = [(effects.tenant[row.effect], row.contact_id) for row in contenders]
        deleted |= await tombstones.of(connection, slots, others)
        owners = _recognized(effects, owners, contenders, deleted)
    conflicts, differs = _compare(effects, owners)
    ended = _ended(effects, owners, deleted)
    if await _update(connection, effects):
        differs = True
    fail_point(FailPoint.ENROLLMENTS_WRITTEN)
    await _achieve(connection, effects, change.achievements)
    await uses.write(connection, effects.effective)
    fail_point(FailPoint.ACHIEVEMENTS_WRITTEN)
    outbox = await _enqueue(connection, effects, change.outbox, exits_wait)
    if change.reversals:
        outbox += await undo(connection, change.reversals, publishes_refunds)
    if change.acknowledgements:
        await _acknowledge(connection, change.acknowledgements)
    if change.deletions and await tombstones.erase(connection, change.deletions):
        differs = True
    fail_point(FailPoint.OUTBOX_WRITTEN)
    return Committed(bytes(effects.effective), conflicts, ended, outbox, differs)


async def repeats(
    connection: Any, starts: Sequence[EnrollmentStart], slots: SlotRange, tombstones: Tombstones
) -> set[tuple[TenantId, str]]:
    """The (tenant, id) of starts that a commit of these slots would not make active."""
    contacts = ((start.tenant_id, start.contact_id) for start in starts)
    deleted = await tombstones.of(connection, slots, contacts)
    rows = await connection.fetch(
        statements.EXISTING_ENROLLMENTS,
        [start.tenant_id for start in starts],
        [start.enrollment_id for start in starts],
    )
    existing = {(TenantId(tenant), enrollment) for tenant, enrollment, *_ in rows}
    return existing | {
        (start.tenant_id, start.enrollment_id)
        for start in starts
        if (tombstone := deleted.get((start.tenant_id, start.contact_id))) is not None
        and tombstone.covers(start.enrolled_at)
    }


def _pick(indexes: Sequence[int], *columns: Sequence[Any]) -> list[Sequence[Any]]:
    """The rows at `indexes` of each column; the columns themselves if that is all rows in order."""
    if not columns or list(indexes) == list(range(len(columns[0]))):
        return list(columns)
    return [[column[i] for i in indexes] for column in columns]


async def _insert(
    connection: Any, of: _Effects, deleted: Mapping[Contact, Tombstone], uses: Uses
) -> list[int]:
    """Insert new enrollments. Returns the effects whose ids exist.

    Inserts in the order of the keys, so that two shards whose tenants use the same ids cannot
    deadlock. An enrollment of a deleted contact is inserted as erased, and is not effective.
    """
    new = sorted(
        (i for i, is_new in enumerate(of.is_new) if is_new),
        key=lambda i: (of.tenant[i], of.enrollment[i]),
    )
    if not new:
        return []
    erased = [
        i
        for i in new
        if (tombstone := deleted.get((of.tenant[i], of.contact[i]))) is not None
        and tombstone.covers(of.enrolled_at[i])
    ]
    rest = [i for i in new if i not in set(erased)] if erased else new
    known = await _insert_erased(connection, of, erased, deleted) if erased else []
    if rest:
        columns = _pick(
            rest, of.tenant, of.enrollment, of.stored_contacts(deleted), of.workflow, of.slot,
            of.status, of.enrolled_at, of.ended_at, of.met_goals, of.pending_actions,
            of.last_achieved, of.met_types, of.started_by, uses.before,
        )  # fmt: skip
        rows = await connection.fetch(statements.INSERT_ENROLLMENTS, *columns, uses.first_number)
        known += of.mark_inserted(rest, rows)
    return known


async def _insert_erased(
    connection: Any, of: _Effects, erased: Sequence[int], deleted: Mapping[Contact, Tombstone]
) -> list[int]:
    """Insert enrollments that began before their contact was deleted: cancelled at their start,
    under a pseudonym. Returns those whose ids exist."""
    tombstones = [deleted[of.tenant[i], of.contact[i]] for i in erased]
    tenants, ids, workflows, slots, enrolled_at, pending = _pick(
        erased, of.tenant, of.enrollment, of.workflow, of.slot, of.enrolled_at, of.pending_actions
    )
    contacts = [tombstone.pseudonym or new_pseudonym() for tombstone in tombstones]
    count = len(erased)
    rows = await connection.fetch(
        statements.INSERT_ENROLLMENTS, tenants, ids, contacts, workflows, slots,
        ["cancelled"] * count, enrolled_at, enrolled_at, ["{}"] * count, pending,
        [None] * count, [0] * count, [None] * count, [None] * count, None,
    )  # fmt: skip
    inserted = {(tenant, enrollment) for tenant, enrollment, _ in rows}
    return [i for i in erased if (of.tenant[i], of.enrollment[i]) not in inserted]


async def _owners(connection: Any, of: _Effects, existing: Sequence[int]) -> dict[int, _Owner]:
    """The owners of the enrollments that have the ids of these effects; empty in other slots."""
    rows = await connection.fetch(
        statements.EXISTING_ENROLLMENTS, *_pick(existing, of.tenant, of.enrollment)
    )
    found = {(tenant, id_): _Owner(*owner) for tenant, id_, *owner in rows}
    return {i: found.get((of.tenant[i], of.enrollment[i]), _Owner()) for i in existing}


def _recognized(
    of: _Effects,
    owners: Mapping[int, _Owner],
    contenders: Sequence[Contender],
    deleted: Mapping[Contact, Tombstone],
) -> dict[int, _Owner]:
    """The owners, with the contact of an erased row as an event of the batch identifies it, so
    that repeated events of that contact are recognized."""
    contacts = {i: [of.contact[i]] for i in owners}
    for contender in contenders:
        contacts[contender.effect].append(contender.contact_id)
    return {
        i: owner._replace(
            contact=contact_of_row(
                owner.contact, ((each, deleted.get((of.tenant[i], each))) for each in contacts[i])
            )
        )
        for i, owner in owners.items()
    }


def _compare(of: _Effects, owners: Mapping[int, _Owner]) -> tuple[list[Conflict], bool]:
    """Compare effects with the owners of the enrollments that have their ids. Returns the
    conflicts, and whether memory lacked an active row."""
    conflicts = []
    differs = False
    for i, (contact, workflow, status, *_) in owners.items():
        if (contact, workflow) != (of.contact[i], of.workflow[i]):
            conflicts.append(Conflict(i, contact, workflow, status == "active"))
        elif status == "active":
            differs = True
    return sorted(conflicts), differs


def _ended(
    of: _Effects, owners: Mapping[int, _Owner], deleted: Mapping[Contact, Tombstone]
) -> list[EndedRun]:
    """The effects whose enrollments had ended before (E12)."""
    ended = []
    for i, owner in owners.items():
        if owner.status in ("", "active"):
            continue
        tombstone = deleted.get((of.tenant[i], owner.contact))
        until = [owner.enrolled_at] if owner.may_be_end_only else []
        until += [] if tombstone is None else [tombstone.deleted_at]
        ended.append(EndedRun(i, owner.enrolled_at, max(until, default=None)))
    return sorted(ended)


async def _update(connection: Any, of: _Effects) -> bool:
    """Update enrollments that memory holds as active. Returns whether a row was not active."""
    known = [i for i, is_new in enumerate(of.is_new) if not is_new]
    if not known:
        return False
    columns = _pick(
        known, of.tenant, of.enrollment, of.status, of.ended_at, of.met_goals, of.last_achieved,
        of.met_types,
    )  # fmt: skip
    rows = await connection.fetch(statements.UPDATE_ENROLLMENTS, *columns)
    return bool(of.mark_effective(known, rows))


async def _achieve(connection: Any, of: _Effects, achievements: AchievementColumns) -> None:
    effect_of = achievements.effect
    rows = [row for row, i in enumerate(effect_of) if of.effective[i]]
    if not rows:
        return
    effects, *columns = _pick(
        rows, effect_of, achievements.id, achievements.goal_id, achievements.goal_type,
        achievements.achieved_at, achievements.trigger_event, achievements.metadata,
    )  # fmt: skip
    of_effect = [
        [column[i] for i in effects]
        for column in (of.tenant, of.workflow, of.enrollment, of.contact, of.slot)
    ]
    await connection.execute(statements.INSERT_ACHIEVEMENTS, *of_effect, *columns)


async def _enqueue(
    connection: Any, of: _Effects, outbox: Sequence[OutboxRow], exits_wait: bool
) -> list[StoredMessage]:
    rows = [row for row in outbox if of.effective[row.effect]]
    if not rows:
        return []
    numbers = await connection.fetch(
        statements.INSERT_OUTBOX,
        [of.tenant[row.effect] for row in rows],
        [of.slot[row.effect] for row in rows],
        [of.contact[row.effect] for row in rows],
        [row.message_id for row in rows],
        [row.stream for row in rows],
        [row.payload for row in rows],
        [of.enrollment[row.effect] for row in rows],
        [exits_wait and row.stream == OutboundStream.EXITS for row in rows],
    )
    return [
        StoredMessage(number, Message(row.stream, row.payload))
        for (number,), row in zip(numbers, rows, strict=True)
    ]


async def _acknowledge(
    connection: Any,
    acknowledgements: Sequence[Acknowledgement],
) -> None:
    first: dict[tuple[str, ...], tuple[int | None, int]] = {}
    for *exit_, _slot, cancelled, at in acknowledgements:
        first.setdefault(tuple(map(str, exit_)), (cancelled, at))
    tenants, enrollments, contacts, workflows = zip(*first, strict=True)
    cancelled_actions, times = zip(*first.values(), strict=True)
    await connection.execute(
        statements.ACKNOWLEDGE_EXITS, tenants, enrollments, contacts, workflows,
        cancelled_actions, times,
    )  # fmt: skip
