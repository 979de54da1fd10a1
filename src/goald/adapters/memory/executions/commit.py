"""Writes the executions of a change, next to its enrollments."""

from collections.abc import Sequence
from dataclasses import replace

from goald.adapters.memory.database import MemoryDatabase
from goald.adapters.memory.stored.executions import StoredEntry, StoredExecution, StoredLog
from goald.domain.records.erasure import PSEUDONYM_PREFIX
from goald.ports.executions.change import ExecutionChange, LogColumns, TransitionColumns


def unmatched(tables: MemoryDatabase, change: ExecutionChange | None) -> set[int]:
    """The effects whose executions do not match the guards of their transitions."""
    if change is None:
        return set()
    of = change.transitions
    return {
        effect
        for i, effect in enumerate(of.effect)
        if effect is not None
        and (guard := of.guard[i]) is not None
        and not ((row := _row(tables, of, i)) is not None and row.matches(guard))
    }


def write(
    tables: MemoryDatabase,
    change: ExecutionChange | None,
    effective: Sequence[int],
    now: float,
) -> tuple[bytes, bool]:
    """Write the transitions whose effects are `effective`, their log, and the answers. Returns the
    transitions that were written, and whether one did not match its row. `now`: by the monotonic
    clock."""
    if change is None:
        return b"", False
    of = change.transitions
    written = bytearray(len(of))
    is_stale = False
    for i, effect in enumerate(of.effect):
        if effect is not None and not effective[effect]:
            continue
        guard, row = of.guard[i], _row(tables, of, i)
        if guard is None and row is None:
            _insert(tables, of, i, now)
        elif guard is not None and row is not None and row.matches(guard):
            _update(row, of, i, now)
        else:
            is_stale = True
            continue
        written[i] = 1
        _enter(tables, of, i)
    for row_number, transition in enumerate(change.logs.transition):
        if transition is None or written[transition]:
            tables.of_executions.logs.append(_log_row(tables, change.logs, of, row_number))
    for answer in change.answers:
        key = (answer.tenant_id, answer.request)
        tables.of_executions.answers.setdefault(key, (answer.answer, answer.execution_id))
    return bytes(written), is_stale


def erase(tables: MemoryDatabase, tenant: str, contact: str, at: int, erased: set[str]) -> None:
    """Erase a deleted contact: `erased` are the ids of its enrollments, which are erased."""
    of = tables.of_executions
    for id_ in erased:
        if (row := of.executions.get((tenant, id_))) is not None:
            row.variables, row.used_events = None, []
            if row.reason is None:
                row.status, row.reason, row.gate = "CANCELLED", "contact_deleted", None
    for key, entry in list(of.entries.items()):
        if key[:2] == (tenant, contact) and entry.last_started_ms * 1_000 <= at:
            del of.entries[key]
    of.logs = [
        _without_contact(row)
        if (row.tenant_id, row.contact_id) == (tenant, contact) and row.at_ms * 1_000 <= at
        else row
        for row in of.logs
    ]


def move_entries(
    tables: MemoryDatabase,
    contacts: tuple[str, str, str],
    deleted_at: int | None,
    entered_after: int | None,
) -> None:
    """Let the entries of a merged contact continue under another, or remove those until that was
    deleted since the merge. `contacts`: the tenant, the merged contact and the other. Entries until
    `entered_after` are those of an earlier transfer."""
    tenant, contact, into = contacts
    entries = tables.of_executions.entries
    for key in [key for key in entries if key[:2] == (tenant, contact)]:
        started_at = entries[key].last_started_ms * 1_000
        is_earlier = entered_after is not None and started_at <= entered_after
        is_later = deleted_at is not None and started_at > deleted_at
        if is_earlier or is_later:
            continue
        moved = entries.pop(key)
        if deleted_at is None:
            known = entries.setdefault((tenant, into, key[2]), moved)
            known.last_started_ms = max(known.last_started_ms, moved.last_started_ms)
            known.has_ended |= moved.has_ended


def _row(tables: MemoryDatabase, of: TransitionColumns, i: int) -> StoredExecution | None:
    return tables.of_executions.executions.get((of.tenant_id[i], of.execution_id[i]))


def _insert(tables: MemoryDatabase, of: TransitionColumns, i: int, now: float) -> None:
    key = (of.tenant_id[i], of.execution_id[i])
    is_erased = tables.enrollments[key].contact_id.startswith(PSEUDONYM_PREFIX)
    row = StoredExecution(
        *key, of.workflow_id[i], of.version[i], of.status[i], of.state[i], of.waiting_for[i],
        of.reason[i], of.step_id[i], of.step_index[i], of.total_steps[i], of.visit[i],
        of.attempt[i], of.retry_count[i], of.hops[i], of.action[i], of.connection[i], of.zone[i],
        of.since_ms[i], of.since_seq[i], of.due_ms[i], of.migrates[i], of.used_event[i],
        of.gate[i], of.started_at_ms[i], now, None if is_erased else of.variables[i],
        list(of.done_steps[i]), list(of.used_events[i]),
    )  # fmt: skip
    tables.of_executions.executions[key] = row


def _update(row: StoredExecution, of: TransitionColumns, i: int, now: float) -> None:
    row.written_at = now
    row.version, row.status, row.state = of.version[i], of.status[i], of.state[i]
    row.waiting_for, row.reason = of.waiting_for[i], of.reason[i]
    row.step_id, row.step_index = of.step_id[i], of.step_index[i]
    row.total_steps, row.visit, row.attempt = of.total_steps[i], of.visit[i], of.attempt[i]
    row.retry_count, row.action = of.retry_count[i], of.action[i]
    row.connection, row.zone = of.connection[i], of.zone[i]
    row.since_ms, row.since_seq, row.due_ms = of.since_ms[i], of.since_seq[i], of.due_ms[i]
    row.migrates, row.used_event, row.gate = of.migrates[i], of.used_event[i], of.gate[i]
    row.done_steps += of.done_steps[i]
    row.used_events += of.used_events[i]


def _enter(tables: MemoryDatabase, of: TransitionColumns, i: int) -> None:
    """Record a start or an end."""
    contact = tables.enrollments[of.tenant_id[i], of.execution_id[i]].contact_id
    if contact.startswith(PSEUDONYM_PREFIX) or (of.guard[i] and of.reason[i] is None):
        return
    key = (of.tenant_id[i], contact, of.workflow_id[i])
    row = tables.of_executions.entries.setdefault(key, StoredEntry(of.started_at_ms[i]))
    row.last_started_ms = max(row.last_started_ms, of.started_at_ms[i])
    row.has_ended |= of.reason[i] is not None


def _log_row(
    tables: MemoryDatabase, logs: LogColumns, of: TransitionColumns, row: int
) -> StoredLog:
    transition = logs.transition[row]
    tenant, execution, workflow, contact = (
        logs.tenant_id[row] or "", logs.execution_id[row], logs.workflow_id[row],
        logs.contact_id[row],
    )  # fmt: skip
    if transition is not None:
        tenant, execution = of.tenant_id[transition], of.execution_id[transition]
    deleted = tables.deleted.get((tenant, contact or ""))
    if execution is not None:
        workflow = contact = None
    elif deleted is not None and deleted.covers(logs.at_ms[row] * 1_000):
        contact = None
    return StoredLog(
        execution, workflow, contact, tenant, logs.event_type[row], logs.at_ms[row],
        logs.step_index[row], logs.step_id[row], logs.attempt[row], logs.duration_ms[row],
        logs.message[row], logs.user[row],
    )  # fmt: skip


def _without_contact(row: StoredLog) -> StoredLog:
    return replace(row, contact_id=None)
