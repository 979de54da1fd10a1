"""The tables of executions, read directly."""

from typing import Any, NamedTuple

from goald.adapters.memory.database import MemoryDatabase
from goald.adapters.memory.stored.executions import StoredDefinition


class ExecutionRow(NamedTuple):
    contact: str
    slot: int
    status: str
    state: str
    step: str
    reason: str | None
    done: tuple[str, ...]
    used: int
    gate: str | None
    variables: str | None


class ExecutionRows(NamedTuple):
    executions: dict[str, ExecutionRow]
    entries: dict[tuple[str, str], tuple[int, bool]]
    """By contact and workflow: the last start, and whether an execution has ended."""
    logs: list[tuple[str, str | None, str | None]]
    """(event type, execution, contact), in order."""
    answers: dict[str, tuple[str, str | None]]
    """By request."""


def rows_in_memory(database: MemoryDatabase) -> ExecutionRows:
    of = database.of_executions
    return ExecutionRows(
        {
            row.id: ExecutionRow(
                (owner := database.enrollments[row.tenant_id, row.id]).contact_id, owner.slot,
                row.status, row.state, row.step_id, row.reason, tuple(row.done_steps),
                len(row.used_events), row.gate, row.variables,
            )
            for row in of.executions.values()
        },
        {
            (contact, workflow): (row.last_started_ms, row.has_ended)
            for (_, contact, workflow), row in of.entries.items()
        },
        [(row.event_type, row.execution_id, row.contact_id) for row in of.logs],
        {request: answer for (_, request), answer in of.answers.items()},
    )  # fmt: skip


async def rows_in_postgres(connection: Any) -> ExecutionRows:
    executions = await connection.fetch(
        "SELECT id, contact_id, slot, status, state, step_id, completion_reason,"
        " string_to_array(done_steps, E'\\x1f') AS done, cardinality(used_events), gate,"
        " replace(attributes::text, ' ', '') FROM goald.workflow_executions"
    )
    entries = await connection.fetch(
        "SELECT contact_id, workflow_id, goald.us(last_started_at) / 1000,"
        " last_ended_at IS NOT NULL FROM goald.workflow_entries"
    )
    logs = await connection.fetch(
        "SELECT event_type, execution_id, contact_id FROM goald.execution_logs ORDER BY number"
    )
    answers = await connection.fetch(
        "SELECT request, answer, execution_id FROM goald.execution_answers"
    )
    return ExecutionRows(
        {
            row["id"]: ExecutionRow(*tuple(row)[1:])._replace(done=tuple(row["done"]))
            for row in executions
        },
        {(contact, workflow): tuple(rest) for contact, workflow, *rest in entries},
        [tuple(row) for row in logs],
        {request: tuple(rest) for request, *rest in answers},
    )


def publish_in_memory(database: MemoryDatabase, workflow: str, version: int, plan: bytes) -> None:
    database.of_executions.definitions.append(StoredDefinition("acme", workflow, version, plan))


async def publish_in_postgres(connection: Any, workflow: str, version: int, plan: bytes) -> None:
    await connection.execute(
        "INSERT INTO goald.workflows (tenant_id, id, name, config_version)"
        " VALUES ('acme', $1, 'W', 1) ON CONFLICT DO NOTHING",
        workflow,
    )
    await connection.execute(
        "INSERT INTO goald.workflow_definitions (tenant_id, workflow_id, version, document, digest,"
        " plan, revision, published_at) VALUES ('acme', $1, $2, '{}', sha256(''), $3, $2, now())",
        workflow, version, plan,
    )  # fmt: skip
