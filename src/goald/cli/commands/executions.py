"""`goald executions`: list, show, start, cancel and retry executions of workflows."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from goald.cli.input import fields
from goald.cli.output.executions import (
    execution_json,
    print_execution,
    print_executions,
    print_logs,
)
from goald.cli.output.exit_codes import Code, complain
from goald.cli.output.printing import print_json, say
from goald.cli.target import api_dsn, redis_url

if TYPE_CHECKING:
    from goald.api.ports import ExecutionRecords
    from goald.domain.records.execution import Execution, ExecutionLog, RequestAnswer
    from goald.domain.records.execution_requests import ExecutionRequest, RequestedChange

MAX_LISTED = 1_000

T = TypeVar("T")

app = typer.Typer(help="List, show, start, cancel and retry executions of workflows.")

Tenant = Annotated[str, typer.Option(metavar="TENANT", help="The tenant.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Id = Annotated[str, typer.Argument(metavar="EXECUTION", help="The id.", show_default=False)]
Workflow = Annotated[
    str, typer.Argument(metavar="WORKFLOW", help="The id of the workflow.", show_default=False)
]

_REJECTIONS = {
    "already_running": "The contact is in the workflow already.",
    "not_allowed_again": "The workflow does not allow the contact to enter it again, or not yet "
    "(reentry).",
    "opted_out": "Contact has opted out.",
    "inactive_workflow": "Workflow is not active.",
}


@app.command("list")
def list_executions(
    workflow: Workflow,
    tenant: Tenant,
    status: Annotated[
        str | None, typer.Option(metavar="STATUS", help="Only this status, such as FAILED.")
    ] = None,
    contact: Annotated[
        str | None, typer.Option(metavar="CONTACT", help="Only executions of this contact.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--from", metavar="DAY", help="Only created on this day (UTC) or later."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--to", metavar="DAY", help="Only created on this day (UTC) or earlier."),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=MAX_LISTED, metavar="N", help="The maximum number.")
    ] = 50,
    as_json: Json = False,
) -> None:
    """List the executions of a workflow, newest first."""
    from goald.domain.records.pages import PageRequest

    filters = {"status": _status(status), "contact_id": contact}
    span = PageRequest(limit, None, _day(since, "--from"), _day(until, "--to", days=1))

    async def read(records: "ExecutionRecords") -> tuple[Sequence["Execution"], int, bool]:
        runnable = await records.workflow(tenant, workflow)
        page = await records.numbered(tenant, workflow, filters, span, 0)
        return page.rows, page.total, runnable is not None and runnable.is_active

    rows, total, is_active = _read(read)
    print_executions(rows, is_active=is_active, as_json=as_json)
    if not as_json and total > len(rows):
        say(f"Showing {len(rows):,} of {total:,}. Use --limit or filters.")


@app.command()
def show(execution: Id, tenant: Tenant, as_json: Json = False) -> None:
    """Show one execution: its step, when it continues, and why it waits.

    Exits with 1 if the tenant has no such execution.
    """

    async def read(records: "ExecutionRecords") -> tuple["Execution", bool]:
        row = await _execution(records, tenant, execution)
        return row, await _is_active(records, tenant, row)

    row, is_active = _read(read)
    print_execution(row, is_active=is_active, as_json=as_json)


@app.command()
def logs(
    execution: Id,
    tenant: Tenant,
    limit: Annotated[
        int, typer.Option(min=1, max=MAX_LISTED, metavar="N", help="The maximum number.")
    ] = MAX_LISTED,
    as_json: Json = False,
) -> None:
    """Show the log of an execution, oldest first.

    Exits with 1 if the tenant has no such execution.
    """

    async def read(
        records: "ExecutionRecords",
    ) -> tuple["Execution", Sequence["ExecutionLog"], int]:
        row = await _execution(records, tenant, execution)
        return row, *await records.logs(tenant, execution, 0, limit)

    of, rows, total = _read(read)
    print_logs(of, rows, as_json=as_json)
    if not as_json and total > len(rows):
        say(f"Showing {len(rows):,} of {total:,} rows. Use --limit.")


@app.command()
def start(
    workflow: Workflow,
    tenant: Tenant,
    contact: Annotated[
        str, typer.Option(metavar="CONTACT", help="The contact.", show_default=False)
    ],
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Attributes; KEY:=VALUE takes JSON."),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", help="The same key starts one execution only; default: a random one."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Start an execution for a contact.

    Exits with 1 if the workflow or the contact does not allow it.
    """
    from uuid import uuid4

    from goald.domain.records.execution_requests import start_request

    attributes = fields.parse(words or [])
    request = start_request(tenant, workflow, contact, key or uuid4().hex, attributes)

    async def run(records: "ExecutionRecords") -> "RequestAnswer | None":
        runnable = await records.workflow(tenant, workflow)
        if runnable is None:
            raise _failed(f"The tenant {tenant} has no workflow {workflow}.")
        if not runnable.is_active:
            raise _failed(_REJECTIONS["inactive_workflow"])
        if not runnable.has_definition:
            raise _failed(f"The workflow {workflow} has no published definition.")
        return await _send(records, tenant, request)

    found = _read(run)
    if found is None:
        raise _failed(_NO_ANSWER)
    if found.answer in _REJECTIONS:
        raise _failed(_REJECTIONS[found.answer])
    if as_json:
        print_json({"id": found.execution_id, "answer": found.answer})
    elif found.answer == "duplicate":
        say("Ignored: the contact entered the workflow less than 5 s ago.")
    elif found.answer == "repeated":
        say(f"The request has started {found.execution_id} before.")
    else:
        say(f"Started {found.execution_id}.")


@app.command()
def cancel(execution: Id, tenant: Tenant, as_json: Json = False) -> None:
    """Cancel an execution.

    No action starts afterwards. Exits with 1 if it has ended before.
    """
    row, _, in_flight = _change(execution, tenant, "cancel")
    if row.completion_reason != "user":
        raise _failed(f"The execution is {row.status} ({row.completion_reason}).")
    if as_json:
        print_json(execution_json(row, is_active=True) | {"action_in_flight": in_flight})
        return
    say(f"Cancelled {execution}.")
    if in_flight:
        say("A worker was calling the provider of the current action: the call may take effect.")


@app.command()
def retry(execution: Id, tenant: Tenant, as_json: Json = False) -> None:
    """Repeat the failed step of an execution.

    Exits with 1 unless it is FAILED.
    """
    row, answer, _ = _change(execution, tenant, "retry")
    if answer in _REJECTIONS:
        raise _failed(_REJECTIONS[answer])
    if answer != "accepted":
        raise _failed(f"The execution is {row.status}: only a FAILED one can be retried.")
    if as_json:
        print_json(execution_json(row, is_active=True))
    else:
        say(f"Retries {execution} at step {row.step_id}.")


_NO_ANSWER = (
    "No shard has answered within 2 s; the request is on its stream. Check that goald is ready: "
    "`goald status`."
)


def _change(
    execution: str, tenant: str, change: "RequestedChange"
) -> tuple["Execution", str, bool]:
    """Send the request if the status allows it. Returns the execution after it, the answer, and
    whether a call was in flight at the end."""
    from uuid import uuid4

    from goald.cli.configuration import actor
    from goald.domain.records.execution_requests import change_request

    async def run(records: "ExecutionRecords") -> tuple["Execution", str, bool]:
        row = await _execution(records, tenant, execution)
        if row.has_ended:
            raise _failed(f"The execution is {row.status} ({row.completion_reason}).")
        if change == "retry" and row.status != "FAILED":
            return row, "not_failed", False
        request = change_request(row, change, actor(), str(uuid4()))
        found = await _send(records, tenant, request)
        if found is None:
            raise _failed(_NO_ANSWER)
        row = await _execution(records, tenant, execution)
        return row, found.answer, await records.ended_in_flight(tenant, execution)

    return _read(run)


async def _send(
    records: "ExecutionRecords", tenant: str, request: "ExecutionRequest"
) -> "RequestAnswer | None":
    from goald.runtime.wiring.operations import execution_requests

    with redis_url() as url:
        return await execution_requests(url, records).send(tenant, request)


def _read(read: Callable[["ExecutionRecords"], Awaitable[T]]) -> T:
    """Call a function with the executions in Postgres."""
    from goald.runtime.wiring.operations import executions
    from goald.settings import load_settings

    async def run(dsn: str) -> T:
        async with executions(dsn) as records:
            return await read(records)

    with api_dsn(load_settings()) as dsn:
        return asyncio.run(run(dsn))


async def _execution(records: "ExecutionRecords", tenant: str, execution: str) -> "Execution":
    row = await records.execution(tenant, execution)
    if row is None:
        raise _failed(f"The tenant {tenant} has no execution {execution}.")
    return row


async def _is_active(records: "ExecutionRecords", tenant: str, row: "Execution") -> bool:
    workflow = await records.workflow(tenant, row.workflow_id)
    return workflow is not None and workflow.is_active


def _failed(reason: str) -> Exception:
    complain(reason)
    return typer.Exit(Code.FAILED)


def _status(text: str | None) -> str | None:
    from typing import get_args

    from goald.domain.records.execution import ExecutionStatus

    if text is None:
        return None
    statuses = get_args(ExecutionStatus)
    if text.upper() not in statuses:
        raise typer.BadParameter(f"--status: one of {', '.join(statuses)}.")
    return text.upper()


def _day(text: str | None, option: str, *, days: int = 0) -> int | None:
    """The first instant of a day in UTC, or of that many days later."""
    from datetime import UTC, time, timedelta

    from goald.domain.times import to_us

    if text is None:
        return None
    try:
        day = date.fromisoformat(text) + timedelta(days=days)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{option}: a day such as 2026-01-31.") from None
    return to_us(datetime.combine(day, time(), UTC))
