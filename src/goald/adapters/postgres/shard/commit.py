"""Writes a change within one transaction, with one statement over arrays for each kind of row.

An effect that neither inserts nor updates its enrollment is a repeat, a conflict with an enrollment
of another contact or workflow (E5), or a sign that memory is stale.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from goald.adapters.postgres.shard import missed, statements
from goald.adapters.postgres.shard.contacts import keep, write_contacts
from goald.adapters.postgres.shard.effects import Effects, pick
from goald.adapters.postgres.shard.erasure import Contact, Tombstones, new_pseudonym
from goald.adapters.postgres.shard.executions import commit as executions
from goald.adapters.postgres.shard.merging import forwards
from goald.adapters.postgres.shard.merging.merges import begin
from goald.adapters.postgres.shard.reversals import undo
from goald.adapters.postgres.shard.used_events import Uses
from goald.domain.fail_points import FailPoint, FailPointHook
from goald.domain.ids import TenantId
from goald.domain.records.erasure import PSEUDONYM_PREFIX, Tombstone, contact_of_row
from goald.domain.slots import SlotRange
from goald.domain.streams import OutboundStream
from goald.ports.change import (
    AchievementColumns,
    Acknowledgement,
    Change,
    Committed,
    Conflict,
    Contender,
    EndedRun,
)
from goald.ports.outbound import Message
from goald.ports.outbox import OutboxRow, StoredMessage
from goald.ports.shard_store import MISSED_BYTES, EnrollmentStart


class CommitOptions(NamedTuple):
    """The settings of commits."""

    exits_wait: bool = False
    """Mark exits to be published again until they are acknowledged."""
    publishes_refunds: bool = False
    """Add a notice for each enrollment whose payment was refunded."""
    missed_bytes: int = MISSED_BYTES
    """The limit of the events that the paused workflows of a tenant missed."""


PLAIN: Final = CommitOptions()
"""Those of a store without settings."""


class _Owner(NamedTuple):
    """The enrollment that has an id; empty if it is in the slots of another shard."""

    contact: str = ""
    workflow: str = ""
    status: str = ""
    enrolled_at: int = 0
    may_be_end_only: bool = False
    """Perhaps only its end is known."""


async def write(
    connection: Any,
    change: Change,
    slots: SlotRange,
    tombstones: Tombstones,
    fail_point: FailPointHook,
    options: CommitOptions = PLAIN,
) -> Committed:
    """Write a change in the transaction of the caller, which holds the lease of these slots."""
    effects = Effects(change.effects, change.achievements)
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
    conflicts, differs = _compare(effects, owners, deleted)
    ended = _ended(effects, owners, deleted)
    torn: Collection[int] = ()
    if change.executions is not None:
        torn = await executions.unmatched(connection, change.executions)
    if await _update(connection, effects, torn):
        differs = True
    await _update_after_end(connection, effects)
    transitions = b""
    if change.executions is not None:
        transitions, is_stale = await executions.write(
            connection, change.executions, effects.effective, slots, tombstones
        )
        differs |= is_stale
    fail_point(FailPoint.ENROLLMENTS_WRITTEN)
    await _achieve(connection, effects, change.achievements)
    await uses.write(connection, effects.effective, effects.began_at)
    fail_point(FailPoint.ACHIEVEMENTS_WRITTEN)
    outbox = await _enqueue(connection, effects, change.outbox, options.exits_wait)
    if change.reversals:
        reversed_of = [(row.tenant_id, row.contact_id) for row in change.reversals]
        deleted = await tombstones.of(connection, slots, reversed_of)
        outbox += await undo(connection, change.reversals, deleted, options.publishes_refunds)
    if change.acknowledgements:
        await _acknowledge(connection, change.acknowledgements)
    if change.judged_runs:
        await missed.drop(connection, change.judged_runs)
    dropped: Sequence[str] = ()
    if change.missed_runs:
        dropped = await missed.keep(connection, change, options.missed_bytes)
    keeps: Sequence[str] = ()
    if change.contact_events or change.deletions:
        keeps = await write_contacts(connection, change, slots, tombstones)
    if change.deletions:
        differs |= await tombstones.record(connection, change.deletions)
        await forwards.end(connection, change.deletions)
    merges = await begin(connection, change.merges, slots, tombstones) if change.merges else ()
    if keeps:
        await keep(connection, keeps)
    fail_point(FailPoint.OUTBOX_WRITTEN)
    return Committed(
        bytes(effects.effective),
        conflicts,
        ended,
        outbox,
        keeps,
        merges,
        transitions,
        dropped,
        differs,
    )


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


async def _insert(
    connection: Any, of: Effects, deleted: Mapping[Contact, Tombstone], uses: Uses
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
        and tombstone.covers(of.began_at(i))
    ]
    rest = [i for i in new if i not in set(erased)] if erased else new
    known = await _insert_erased(connection, of, erased, deleted) if erased else []
    again = [i for i in rest if (of.tenant[i], of.contact[i]) in deleted] if deleted else []
    if again:
        fresh = await uses.only_of_deleted(connection, again)
        known += await _insert_rows(
            connection,
            of,
            [i for i in again if i in fresh],
            deleted,
            uses,
            statements.INSERT_WITHOUT_USES,
        )
        rest = [i for i in rest if i not in fresh]
    return known + await _insert_rows(
        connection, of, rest, deleted, uses, statements.INSERT_ENROLLMENTS
    )


async def _insert_rows(
    connection: Any,
    of: Effects,
    new: Sequence[int],
    deleted: Mapping[Contact, Tombstone],
    uses: Uses,
    statement: str,
) -> list[int]:
    """Insert these enrollments, and mark them. Returns those whose ids exist."""
    if not new:
        return []
    columns = pick(
        new, of.tenant, of.enrollment, of.stored_contacts(deleted), of.workflow, of.slot,
        of.status, of.enrolled_at, of.ended_at, of.met_goals, of.pending_actions,
        of.last_achieved, of.met_types, of.started_by, uses.before, of.received_at,
        of.match_values, of.merges,
    )  # fmt: skip
    rows = await connection.fetch(statement, *columns, uses.first_number)
    return of.mark_inserted(new, rows)


async def _insert_erased(
    connection: Any, of: Effects, erased: Sequence[int], deleted: Mapping[Contact, Tombstone]
) -> list[int]:
    """Insert enrollments that began before their contact was deleted: cancelled at their start,
    under a pseudonym. Returns those whose ids exist."""
    tombstones = [deleted[of.tenant[i], of.contact[i]] for i in erased]
    tenants, ids, workflows, slots, enrolled_at, pending = pick(
        erased, of.tenant, of.enrollment, of.workflow, of.slot, of.enrolled_at, of.pending_actions
    )
    contacts = [tombstone.pseudonym or new_pseudonym() for tombstone in tombstones]
    count = len(erased)
    rows = await connection.fetch(
        statements.INSERT_ENROLLMENTS, tenants, ids, contacts, workflows, slots,
        ["cancelled"] * count, enrolled_at, enrolled_at, ["{}"] * count, pending,
        [None] * count, [0] * count, *([None] * count for _ in range(5)), None,
    )  # fmt: skip
    inserted = {(tenant, enrollment) for tenant, enrollment, _ in rows}
    return [i for i in erased if (of.tenant[i], of.enrollment[i]) not in inserted]


async def _owners(connection: Any, of: Effects, existing: Sequence[int]) -> dict[int, _Owner]:
    """The owners of the enrollments that have the ids of these effects; empty in other slots."""
    rows = await connection.fetch(
        statements.EXISTING_ENROLLMENTS, *pick(existing, of.tenant, of.enrollment)
    )
    found = {(tenant, id_): _Owner(*owner) for tenant, id_, *owner in rows}
    return {i: found.get((of.tenant[i], of.enrollment[i]), _Owner()) for i in existing}


def _recognized(
    of: Effects,
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


def _compare(
    of: Effects, owners: Mapping[int, _Owner], deleted: Mapping[Contact, Tombstone]
) -> tuple[list[Conflict], bool]:
    """Compare effects with the owners of the enrollments that have their ids. Returns the
    conflicts, and whether memory lacked an active row.

    If the contact of an effect was deleted after it, an enrollment that is erased or in other slots
    may be its own, which moved (E21): the effect is a repeat."""
    conflicts = []
    differs = False
    for i, (contact, workflow, status, *_) in owners.items():
        tombstone = deleted.get((of.tenant[i], of.contact[i]))
        may_have_moved = not contact or contact.startswith(PSEUDONYM_PREFIX)
        if may_have_moved and tombstone is not None and tombstone.covers(of.began_at(i)):
            continue
        if (contact, workflow) != (of.contact[i], of.workflow[i]):
            conflicts.append(Conflict(i, contact, workflow, status == "active"))
        elif status == "active":
            differs = True
    return sorted(conflicts), differs


def _ended(
    of: Effects, owners: Mapping[int, _Owner], deleted: Mapping[Contact, Tombstone]
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


async def _update(connection: Any, of: Effects, torn: Collection[int]) -> bool:
    """Update enrollments that memory holds as active, without `torn`. Returns whether a row was not
    active, or is left out."""
    known = [
        i for i, is_new in enumerate(of.is_new)
        if not is_new and not of.after_end[i] and i not in torn
    ]  # fmt: skip
    if not known:
        return bool(torn)
    columns = pick(
        known, of.tenant, of.enrollment, of.status, of.ended_at, of.met_goals, of.last_achieved,
        of.met_types,
    )  # fmt: skip
    rows = await connection.fetch(statements.UPDATE_ENROLLMENTS, *columns)
    return bool(of.mark_updated(known, rows)) or bool(torn)


async def _update_after_end(connection: Any, of: Effects) -> None:
    """Update enrollments that have ended and meet goals (E18)."""
    ended = [i for i, after_end in enumerate(of.after_end) if after_end]
    if ended:
        columns = pick(
            ended, of.tenant, of.enrollment, of.contact, of.workflow, of.met_goals, of.ended_at
        )
        of.mark_updated(ended, await connection.fetch(statements.UPDATE_AFTER_END, *columns))


async def _achieve(connection: Any, of: Effects, achievements: AchievementColumns) -> None:
    effect_of = achievements.effect
    rows = [row for row, i in enumerate(effect_of) if of.effective[i]]
    if not rows:
        return
    effects, *columns = pick(
        rows, effect_of, achievements.id, achievements.goal_id, achievements.goal_type,
        achievements.achieved_at, achievements.trigger_event, achievements.metadata,
    )  # fmt: skip
    columns_of = of.tenant, of.workflow, of.enrollment, of.contact, of.slot, of.after_end
    of_effect = [[column[i] for i in effects] for column in columns_of]
    await connection.execute(statements.INSERT_ACHIEVEMENTS, *of_effect, *columns)


async def _enqueue(
    connection: Any, of: Effects, outbox: Sequence[OutboxRow], exits_wait: bool
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
