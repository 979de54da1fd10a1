"""The executions of a workflow: the trigger, and the list."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Final

from fastapi import Depends, Query, Response
from pydantic import AwareDatetime, BeforeValidator

from goald.api.auth.access import ExecutionEdits, ExecutionReads
from goald.api.dependencies import Dependencies, Deps, Metrics
from goald.api.http.idempotency import REPLAYED_HEADER, Answered, Idempotent
from goald.api.http.pagination import (
    DEFAULT_LIMIT,
    Cursor,
    PageLimit,
    PageQuery,
    QueryId,
    rfc3339_only,
)
from goald.api.http.paths import PathId
from goald.api.http.routing import Router
from goald.api.models.workflows.executions import (
    ExecutionAnswer,
    ExecutionPage,
    ExecutionStarted,
    NewExecution,
)
from goald.api.own_events.execution_requests import ExecutionRequests
from goald.api.problems import BadRequest, ConflictProblem, Forbidden, NotFoundProblem, responses
from goald.domain.records.execution import Execution, ExecutionStatus, RunnableWorkflow
from goald.domain.records.pages import PageRequest
from goald.domain.times import to_us

router = Router()

MAX_SKIPPED: Final = 10_000
"""The executions before a page with a number. Further ones are read with a cursor."""
_PATH = "/api/v1/workflows/{workflow_id}/executions"
_STARTED: dict[str, Any] = {"model": ExecutionStarted, "headers": REPLAYED_HEADER}
_NOT_ACTIVE: Final = "Workflow is not active"
_OPTED_OUT: Final = "Contact has opted out"
_DUPLICATE: Final = "duplicate trigger ignored"


@router.post(
    _PATH,
    tags=["executions"],
    summary="Start an execution",
    operation_id="start_execution",
    status_code=201,
    response_model=ExecutionStarted,
    responses={
        **responses(400, 403, 404, 409),
        200: _STARTED | {"description": "The trigger is a duplicate and was ignored"},
        201: {"headers": REPLAYED_HEADER},
        202: _STARTED | {"description": "The shard of the contact has not answered within 2 s"},
    },
)
async def start_execution(
    workflow_id: PathId,
    body: NewExecution,
    caller: ExecutionEdits,
    deps: Deps,
    metrics: Metrics,
    idempotent: Idempotent,
) -> Response:
    """Triggers the workflow for a contact. The id of the execution is derived from workflow,
    contact and `Idempotency-Key`: with the key, it is safe to repeat the request, also after a 202
    or a 503. Without it, a second request within 5 seconds is a duplicate.

    400 if the workflow is not active, or has no published definition. 403 if the contact has opted
    out. 409 if the contact is in the workflow already, or its `reentry` does not allow another
    execution yet.
    """

    async def start() -> Answered:
        _require_runnable(
            await deps.executions.records.workflow(caller.tenant_id, workflow_id), workflow_id
        )
        requests = ExecutionRequests(deps, metrics, caller)
        contact = body.contact_id
        found, key = await requests.start(workflow_id, contact, idempotent.key, body.attributes)
        if found is None:
            later = await requests.execution_id(workflow_id, contact, key)
            message = "The request is on the stream of the contact and will be processed"
            return Answered(202, ExecutionStarted(id=later, message=message), is_final=False)
        match found.answer:
            case "started":
                return Answered(201, ExecutionStarted(id=found.execution_id, status="QUEUED"))
            case "repeated":
                row = await deps.executions.records.execution(
                    caller.tenant_id, found.execution_id or ""
                )
                return Answered(200, _ignored(row, "The request has started this execution before"))
            case "opted_out":
                raise Forbidden(_OPTED_OUT)
            case "inactive_workflow":
                raise BadRequest(_NOT_ACTIVE)
        row = await _newest(deps, caller.tenant_id, workflow_id, contact)
        if found.answer == "duplicate":
            return Answered(200, _ignored(row, _DUPLICATE))
        detail = (
            "The contact is in the workflow already"
            if found.answer == "already_running"
            else "The workflow does not allow the contact to enter it again, or not yet (reentry)"
        )
        members = {} if row is None else {"execution_id": row.id, "execution_status": row.status}
        raise ConflictProblem(detail, headers=None, **members)

    return await idempotent.answer(caller, start)


def _bound(*, is_end: bool) -> Any:
    def parse(value: Any) -> Any:
        """A day, in UTC, as its first instant; as the end of a period, it is included."""
        if isinstance(value, str) and re.fullmatch(r"(19|2\d)\d\d-\d\d-\d\d", value, re.ASCII):
            try:
                day = date.fromisoformat(value) + timedelta(days=is_end)
            except ValueError:
                return value
            return datetime.combine(day, time(), UTC)
        return rfc3339_only(value)

    return BeforeValidator(parse)


async def _period(
    limit: PageLimit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    first: Annotated[
        Annotated[AwareDatetime, _bound(is_end=False)] | None,
        Query(alias="from", description="Only executions created at or after this time, or day."),
    ] = None,
    last: Annotated[
        Annotated[AwareDatetime, _bound(is_end=True)] | None,
        Query(
            alias="to",
            description="Only executions created before this time, or until the "
            "end of this day (UTC).",
        ),
    ] = None,
) -> PageQuery:
    since, until = (None if each is None else to_us(each) for each in (first, last))
    return PageQuery(limit, cursor, since, until)


@router.get(
    _PATH,
    tags=["executions"],
    summary="List the executions of a workflow, newest first",
    operation_id="list_executions",
    responses=responses(400, 404),
)
async def list_executions(
    workflow_id: PathId,
    caller: ExecutionReads,
    deps: Deps,
    query: Annotated[PageQuery, Depends(_period)],
    status: Annotated[
        ExecutionStatus | None, Query(description="Only executions with this status.")
    ] = None,
    contact_id: Annotated[
        QueryId | None, Query(description="Only executions of this contact.")
    ] = None,
    page: Annotated[
        int | None,
        Query(
            ge=1, le=MAX_SKIPPED + 1, description="The number of the page, in place of a cursor."
        ),
    ] = None,
) -> ExecutionPage:
    """With `cursor`, executions that start while you page through the list are not added to it, and
    none is returned twice. A page of `QUEUED`, `ACTIVE` or `PAUSED` examines 2,000 executions and
    may have fewer items than `limit`, or none, although more pages follow: continue while there is
    a `next_cursor`.

    With `page`, the answer has `total` and `total_pages`; `total` is exact up to 10,000. Pages
    beyond the first 10,000 executions need a cursor.
    """
    tenant, records = caller.tenant_id, deps.executions.records
    filters = {"status": status, "contact_id": contact_id}
    listing = query.of((int, str), "executions", tenant, workflow_id, *filters.values())
    span = listing.span
    async with deps.readers.places.taken_by(tenant):
        workflow = await records.workflow(tenant, workflow_id)
        if workflow is None and not await deps.readers.records.is_known(tenant, workflow_id):
            raise NotFoundProblem(f"There is no workflow {workflow_id}")
        is_active = workflow is not None and workflow.is_active
        if page is None:
            found = await records.of_workflow(tenant, workflow_id, filters, span)
            return ExecutionPage(
                items=_answers(found.rows, is_active=is_active),
                next_cursor=listing.cursor(found.next),
            )
        skipped = _skipped(page, query)
        numbered = await records.numbered(tenant, workflow_id, filters, span, skipped)
    return ExecutionPage(
        items=_answers(numbered.rows, is_active=is_active),
        total=numbered.total,
        total_is_estimate=numbered.is_estimate,
        page=page,
        limit=query.limit,
        total_pages=-(-numbered.total // query.limit),
    )


def _require_runnable(workflow: RunnableWorkflow | None, workflow_id: str) -> None:
    if workflow is None:
        raise NotFoundProblem(f"There is no workflow {workflow_id}")
    if not workflow.is_active:
        raise BadRequest(_NOT_ACTIVE)
    if not workflow.has_definition:
        raise BadRequest(f"The workflow {workflow_id} has no published definition")


def _ignored(row: Execution | None, message: str) -> ExecutionStarted:
    if row is None:
        return ExecutionStarted(message=message)
    return ExecutionStarted(id=row.id, status=row.status, message=message)


async def _newest(
    deps: Dependencies, tenant: str, workflow_id: str, contact: str
) -> Execution | None:
    """Return the contact's newest execution of the workflow."""
    filters = {"contact_id": contact}
    page = await deps.executions.records.of_workflow(tenant, workflow_id, filters, PageRequest(1))
    return page.rows[0] if page.rows else None


def _answers(rows: Any, *, is_active: bool) -> list[ExecutionAnswer]:
    return [ExecutionAnswer.of(row, is_active=is_active) for row in rows]


def _skipped(page: int, query: PageQuery) -> int:
    """The number of executions before a page."""
    skipped = (page - 1) * query.limit
    if query.cursor is not None:
        detail = "`page` and `cursor` exclude each other"
    elif skipped > MAX_SKIPPED:
        detail = f"begins after {MAX_SKIPPED:,} executions: use `cursor`"
    else:
        return skipped
    raise BadRequest(detail, errors=[{"parameter": "page", "detail": detail}])
