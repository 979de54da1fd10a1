"""Prints executions and their log, for a person and for a program."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from goald.cli.output.printing import print_json, table

if TYPE_CHECKING:
    from goald.domain.records.execution import Execution, ExecutionLog


def print_executions(rows: Sequence["Execution"], *, is_active: bool, as_json: bool) -> None:
    """`is_active`: whether their workflow is."""
    if as_json:
        print_json([execution_json(row, is_active=is_active) for row in rows])
        return
    columns = ["execution", "contact", "status", "step", "progress#", "waits for", "due", "created"]
    table(columns, (_row(row) for row in rows))


def print_execution(row: "Execution", *, is_active: bool, as_json: bool) -> None:
    """`is_active`: whether its workflow is."""
    found = execution_json(row, is_active=is_active)
    if as_json:
        print_json(found)
        return
    found |= {
        "progress_percent": f"{row.progress_percent}%",
        "done_steps": ", ".join(row.done_steps) or None,
    }
    table(["field", "value"], ((name.replace("_", " "), text) for name, text in found.items()))


def print_logs(execution: "Execution", rows: Sequence["ExecutionLog"], *, as_json: bool) -> None:
    from goald.api.models.workflows.executions import ExecutionLogAnswer

    found = [ExecutionLogAnswer.of(execution, row) for row in rows]
    if as_json:
        print_json([row.model_dump() for row in found])
        return
    columns = ["at", "event", "step", "attempt#", "status", "ms#", "message", "user"]
    table(
        columns,
        (
            (
                row.timestamp, row.event_type, row.step_id, row.attempt or None, row.status,
                row.duration_ms, row.message, row.user_id,
            )
            for row in found
        ),
    )  # fmt: skip


def execution_json(row: "Execution", *, is_active: bool) -> dict[str, Any]:
    """The execution as the API returns it."""
    from goald.api.models.workflows.executions import ExecutionAnswer

    return ExecutionAnswer.of(row, is_active=is_active).model_dump()


def _row(row: "Execution") -> tuple[object, ...]:
    from goald.domain.times import rfc3339

    step = f"{row.current_step_index}/{row.total_steps} {row.step_id}".rstrip()
    due = None if row.due_at is None or row.has_ended else rfc3339(row.due_at)
    ended = row.completion_reason
    waits = f"({ended})" if ended is not None else row.waiting_for
    progress = f"{row.progress_percent}%"
    created = rfc3339(row.created_at)
    return row.id, row.contact_id, row.status, step, progress, waits, due, created
