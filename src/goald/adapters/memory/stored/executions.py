"""The rows of executions, and their binary form."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

from goald.ports.executions.change import Guard

SEPARATOR = "\x1f"


@dataclass
class StoredExecution:
    """One row of workflow_executions. Its contact and slot are those of its enrollment. Times are
    milliseconds."""

    tenant_id: str
    id: str
    workflow_id: str
    version: int
    status: str
    state: str
    waiting_for: str | None
    reason: str | None
    step_id: str
    step_index: int
    total_steps: int
    visit: int
    attempt: int
    retry_count: int
    hops: int
    action: str | None
    connection: str | None
    zone: str
    since_ms: int
    since_seq: int
    due_ms: int | None
    migrates: bool
    used_event: bool
    gate: str | None
    started_at_ms: int
    written_at: float
    """By the monotonic clock, in seconds."""
    variables: str | None = None
    done_steps: list[str] = field(default_factory=list)
    used_events: list[str] = field(default_factory=list)

    def matches(self, guard: tuple[str, int, int, str]) -> bool:
        """Whether it is open and has what the guard expects (X3)."""
        own = Guard(self.step_id, self.visit, self.attempt, self.state)
        return self.reason is None and own == guard


@dataclass
class StoredEntry:
    """One row of workflow_entries."""

    last_started_ms: int
    has_ended: bool = False


@dataclass(frozen=True)
class StoredLog:
    """One row of execution_logs."""

    execution_id: str | None
    workflow_id: str | None
    contact_id: str | None
    tenant_id: str
    event_type: str
    at_ms: int
    step_index: int | None
    step_id: str | None
    attempt: int
    duration_ms: int | None
    message: str | None
    user: str | None


@dataclass(frozen=True)
class StoredDefinition:
    """One published version in workflow_definitions."""

    tenant_id: str
    workflow_id: str
    version: int
    plan: bytes
    is_deleted: bool = False


@dataclass
class ExecutionTables:
    """The tables of executions."""

    executions: dict[tuple[str, str], StoredExecution] = field(default_factory=dict)
    """By tenant and id."""
    entries: dict[tuple[str, str, str], StoredEntry] = field(default_factory=dict)
    """By tenant, contact and workflow."""
    logs: list[StoredLog] = field(default_factory=list)
    answers: dict[tuple[str, str], tuple[str, str | None]] = field(default_factory=dict)
    """(answer, execution) by tenant and request."""
    definitions: list[StoredDefinition] = field(default_factory=list)


def copy_executions(rows: Iterable[tuple[StoredExecution, str]]) -> bytes:
    """Executions, each with its contact, in the format of Postgres's binary COPY, for
    `_native.Matcher.load_executions`."""
    pieces = [b"PGCOPY\n\xff\r\n\x00", struct.pack(">ii", 0, 0)]
    for row, contact in rows:
        due = -1 if row.due_ms is None else row.due_ms
        values: list[str | int | bool] = [
            row.tenant_id, row.id, contact, row.workflow_id, row.version, row.state, row.step_id,
            row.visit, row.attempt, row.retry_count, row.hops, row.zone, row.since_ms, due,
            SEPARATOR.join(row.done_steps), row.migrates, row.used_event, row.since_seq,
        ]  # fmt: skip
        pieces.append(struct.pack(">h", len(values)))
        for value in map(_field, values):
            pieces.append(struct.pack(">i", len(value)) + value)
    return b"".join([*pieces, struct.pack(">h", -1)])


def _field(value: str | int | bool) -> bytes:
    if isinstance(value, bool):
        return bytes([value])
    return struct.pack(">q", value) if isinstance(value, int) else value.encode()
