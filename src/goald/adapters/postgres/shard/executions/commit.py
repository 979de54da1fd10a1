"""Writes the executions of a change, in the transaction of its enrollments.

A transition that starts or ends an execution and the effect of its enrollment are written together
or not at all: `unmatched` finds the effects without a matching transition before the enrollments
are updated, and `write` leaves out the transitions without an effective effect. Between the two
only the erasure of the contact could change the execution, and it locks the enrollment first.
"""

from collections.abc import Sequence
from typing import Any

from goald.adapters.postgres.shard.effects import array_literal, pick
from goald.adapters.postgres.shard.erasure import Tombstones
from goald.adapters.postgres.shard.executions import statements
from goald.domain.ids import ContactId, TenantId
from goald.domain.slots import SlotRange, slot_of
from goald.ports.executions.change import Answer, ExecutionChange, LogColumns, TransitionColumns

SEPARATOR = "\x1f"


async def unmatched(connection: Any, change: ExecutionChange) -> set[int]:
    """The effects whose executions do not match the guards of their transitions."""
    of = change.transitions
    guarded = [
        i for i, guard in enumerate(of.guard) if guard is not None and of.effect[i] is not None
    ]
    if not guarded:
        return set()
    keys = pick(guarded, of.tenant_id, of.execution_id)
    rows = await connection.fetch(statements.MATCHING, *keys, *_guards(of, guarded))
    matching = {guarded[place - 1] for (place,) in rows}
    return {effect for i in guarded if i not in matching and (effect := of.effect[i]) is not None}


async def write(
    connection: Any,
    change: ExecutionChange,
    effective: Sequence[int],
    slots: SlotRange,
    tombstones: Tombstones,
) -> tuple[bytes, bool]:
    """Write the transitions whose effects are `effective`, their log, and the answers. Returns the
    transitions that were written, and whether one did not match its row."""
    of = change.transitions
    written = bytearray(len(of))
    allowed = [i for i, effect in enumerate(of.effect) if effect is None or effective[effect]]
    starts = [i for i in allowed if of.guard[i] is None]
    updates = [i for i in allowed if of.guard[i] is not None]
    if starts:
        columns = (*_columns(of, starts), *pick(starts, of.hops, of.variables, of.started_at_ms))
        rows = await connection.fetch(statements.INSERT, *columns)
        inserted = {tuple(row) for row in rows}
        for i in starts:
            written[i] = (of.tenant_id[i], of.execution_id[i]) in inserted
    if updates:
        columns = (*_columns(of, updates), *_guards(of, updates))
        for (place,) in await connection.fetch(statements.UPDATE, *columns):
            written[updates[place - 1]] = 1
    entered = [
        i for i, is_written in enumerate(written)
        if is_written and (of.guard[i] is None or of.reason[i] is not None)
    ]  # fmt: skip
    if entered:
        await connection.execute(statements.ENTER, *pick(entered, of.tenant_id, of.execution_id))
    await _log(connection, change, written, slots, tombstones)
    if change.answers:
        await _answer(connection, change.answers)
    return bytes(written), sum(written) < len(allowed)


def _columns(of: TransitionColumns, rows: Sequence[int]) -> Sequence[Sequence[Any]]:
    """The columns that an insert and an update share, in the order of the statements."""
    columns = pick(
        rows, of.tenant_id, of.execution_id, of.workflow_id, of.slot, of.version, of.status,
        of.state, of.waiting_for, of.reason, of.step_id, of.step_index, of.total_steps, of.visit,
        of.attempt, of.retry_count, of.action, of.connection, of.zone, of.since_ms, of.since_seq,
        of.due_ms,
    )  # fmt: skip
    done = [SEPARATOR.join(of.done_steps[i]) for i in rows]
    used = [array_literal(of.used_events[i]) for i in rows]
    migrates, used_event, gate = pick(rows, of.migrates, of.used_event, of.gate)
    return [*columns, done, migrates, used_event, used, gate]


def _guards(of: TransitionColumns, rows: Sequence[int]) -> Sequence[Sequence[Any]]:
    guards = [guard for i in rows if (guard := of.guard[i]) is not None]
    return list(zip(*guards, strict=True))


async def _log(
    connection: Any,
    change: ExecutionChange,
    written: Sequence[int],
    slots: SlotRange,
    tombstones: Tombstones,
) -> None:
    """Write the rows of the written transitions, and those of none. A row has a contact only if it
    has no execution, and then only if the contact was not deleted since."""
    logs, of = change.logs, change.transitions
    rows = [row for row, i in enumerate(logs.transition) if i is None or written[i]]
    if not rows:
        return
    blocked = [
        (row, TenantId(logs.tenant_id[row] or ""), ContactId(logs.contact_id[row] or ""))
        for row in rows
        if logs.transition[row] is None
    ]
    owners: dict[int, tuple[Any, ...]] = {}
    if blocked:
        contacts = [(tenant, contact) for _, tenant, contact in blocked]
        deleted = await tombstones.of(connection, slots, contacts)
        for row, tenant, contact in blocked:
            execution, workflow = logs.execution_id[row], logs.workflow_id[row]
            tombstone = deleted.get((tenant, contact))
            is_deleted = tombstone is not None and tombstone.covers(logs.at_ms[row] * 1_000)
            owner = (None, None) if execution else (workflow, None if is_deleted else contact)
            owners[row] = (tenant, execution, *owner, slot_of(tenant, contact))
    for row in rows:
        if (i := logs.transition[row]) is not None:
            owners[row] = (of.tenant_id[i], of.execution_id[i], None, None, of.slot[i])
    await connection.execute(
        statements.LOG, *zip(*(owners[row] for row in rows), strict=True), *_events(logs, rows)
    )


def _events(logs: LogColumns, rows: Sequence[int]) -> Sequence[Sequence[Any]]:
    """The columns of the log. Postgres stores no NUL, which the error of a provider may contain."""
    *columns, message, user = pick(
        rows, logs.event_type, logs.at_ms, logs.step_index, logs.step_id, logs.attempt,
        logs.duration_ms, logs.message, logs.user,
    )  # fmt: skip
    return [*columns, [text and text.replace("\0", "\ufffd") for text in message], user]


async def _answer(connection: Any, answers: Sequence[Answer]) -> None:
    await connection.execute(statements.ANSWER, *zip(*answers, strict=True))
