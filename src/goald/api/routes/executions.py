"""One execution: its status, its log, its cancellation and its retry."""

from typing import Annotated, Any

from fastapi import Query, Response

from goald.api.auth.access import ExecutionEdits, ExecutionReads
from goald.api.dependencies import Dependencies, Deps, Metrics
from goald.api.http.idempotency import REPLAYED_HEADER, Answered, Idempotent
from goald.api.http.paths import PathId
from goald.api.http.routing import Router
from goald.api.models.requests import Limit
from goald.api.models.workflows.executions import (
    ChangedExecution,
    ExecutionAnswer,
    ExecutionLogAnswer,
    ExecutionLogPage,
)
from goald.api.own_events.execution_requests import ExecutionRequests
from goald.api.problems import BadRequest, ConflictProblem, Forbidden, NotFoundProblem, responses
from goald.domain.actions.masks import mask_config
from goald.domain.definitions.documents import actions_of
from goald.domain.errors import NotFound
from goald.domain.records.execution import Execution

router = Router()

_PATH = "/api/v1/executions/{execution_id}"
_CHANGED: dict[str, Any] = {"model": ChangedExecution, "headers": REPLAYED_HEADER}
_LATER: dict[int | str, dict[str, Any]] = {
    200: {"headers": REPLAYED_HEADER},
    202: _CHANGED
    | {"description": "Accepted: the shard of the contact has not answered within 2 s"},
}


@router.get(
    _PATH,
    tags=["executions"],
    summary="Get an execution",
    operation_id="get_execution",
    responses=responses(404),
)
async def get_execution(
    execution_id: PathId, caller: ExecutionReads, deps: Deps
) -> ExecutionAnswer:
    """Its status, its step, when it continues, and why it waits."""
    row = await _execution(deps, caller.tenant_id, execution_id)
    return ExecutionAnswer.of(row, is_active=await _is_active(deps, caller.tenant_id, row))


@router.get(
    _PATH + "/logs",
    tags=["executions"],
    summary="Get the log of an execution, oldest first",
    operation_id="list_execution_logs",
    responses=responses(400, 404),
)
async def list_execution_logs(
    execution_id: PathId,
    caller: ExecutionReads,
    deps: Deps,
    page: Annotated[int, Query(ge=1, le=1_000_000, description="The number of the page.")] = 1,
    limit: Limit = 50,
) -> ExecutionLogPage:
    """Rows are kept for `GOALD_LOG_RETENTION`. The rows of an action's start and end are written
    when its result arrives."""
    tenant = caller.tenant_id
    async with deps.readers.places.taken_by(tenant):
        execution = await _execution(deps, tenant, execution_id)
        rows, total = await deps.executions.records.logs(
            tenant, execution_id, (page - 1) * limit, limit
        )
        has_actions = any(row.event_type.startswith("action_") for row in rows)
        configs = await _action_configs(deps, tenant, execution) if has_actions else {}
    return ExecutionLogPage(
        items=[ExecutionLogAnswer.of(execution, row, configs) for row in rows],
        total=total,
        page=page,
        limit=limit,
        total_pages=-(-total // limit),
    )


@router.post(
    _PATH + "/cancel",
    tags=["executions"],
    summary="Cancel an execution",
    operation_id="cancel_execution",
    response_model=ChangedExecution,
    responses={**responses(404, 409), **_LATER},
)
async def cancel_execution(
    execution_id: PathId,
    caller: ExecutionEdits,
    deps: Deps,
    metrics: Metrics,
    idempotent: Idempotent,
) -> Response:
    """No action starts after the response. `action_in_flight` says whether a call had begun before.
    409 with `execution_status` and `completion_reason` if the execution has ended before, for
    example because its goals were met first.
    """

    async def cancel() -> Answered:
        tenant, records = caller.tenant_id, deps.executions.records
        row = await _execution(deps, tenant, execution_id)
        _refuse_ended(row)
        found = await ExecutionRequests(deps, metrics, caller).change(row, "cancel")
        row = await _execution(deps, tenant, execution_id)
        if found is None and not row.has_ended:
            return await _answered(deps, tenant, 202, row)
        if row.completion_reason != "user":
            _refuse_ended(row)
        in_flight = await records.ended_in_flight(tenant, execution_id)
        return await _answered(deps, tenant, 200, row, in_flight)

    return await idempotent.answer(caller, cancel)


@router.post(
    _PATH + "/retry",
    tags=["executions"],
    summary="Retry a failed execution",
    operation_id="retry_execution",
    response_model=ChangedExecution,
    responses={**responses(400, 403, 404, 409), **_LATER},
)
async def retry_execution(
    execution_id: PathId,
    caller: ExecutionEdits,
    deps: Deps,
    metrics: Metrics,
    idempotent: Idempotent,
) -> Response:
    """The execution continues with the step that failed, and `retry_count` is 0. 409 with
    `execution_status` unless it is FAILED, 403 if the contact has opted out, 400 if the workflow is
    not active.
    """

    async def retry() -> Answered:
        tenant = caller.tenant_id
        row = await _execution(deps, tenant, execution_id)
        _require_failed(row)
        if not await _is_active(deps, tenant, row):
            raise BadRequest("Workflow is not active")
        found = await ExecutionRequests(deps, metrics, caller).change(row, "retry")
        row = await _execution(deps, tenant, execution_id)
        match None if found is None else found.answer:
            case None:
                return await _answered(deps, tenant, 202, row)
            case "opted_out":
                raise Forbidden("Contact has opted out")
            case "inactive_workflow":
                raise BadRequest("Workflow is not active")
            case "not_failed" | "not_found":
                raise _conflict(row, "The execution is not FAILED any more")
        return await _answered(deps, tenant, 200, row)

    return await idempotent.answer(caller, retry)


async def _execution(deps: Dependencies, tenant: str, execution_id: str) -> Execution:
    row = await deps.executions.records.execution(tenant, execution_id)
    if row is None:
        raise NotFoundProblem(f"There is no execution {execution_id}")
    return row


async def _action_configs(
    deps: Dependencies, tenant: str, row: Execution
) -> dict[str, dict[str, Any]]:
    """The masked fields of the actions of the version that an execution runs, by step; none if the
    workflow was deleted."""
    try:
        view = await deps.configuration.definitions.version(tenant, row.workflow_id, row.version)
    except NotFound:
        return {}
    return {step: mask_config(fields) for step, fields in actions_of(view.row.document).items()}


async def _is_active(deps: Dependencies, tenant: str, row: Execution) -> bool:
    """Whether the workflow of an execution is active."""
    workflow = await deps.executions.records.workflow(tenant, row.workflow_id)
    return workflow is not None and workflow.is_active


async def _answered(
    deps: Dependencies,
    tenant: str,
    status: int,
    row: Execution,
    action_in_flight: bool | None = None,
) -> Answered:
    is_active = await _is_active(deps, tenant, row)
    body = ChangedExecution.changed(row, is_active=is_active, action_in_flight=action_in_flight)
    return Answered(status, body, is_final=status == 200)


def _refuse_ended(row: Execution) -> None:
    if row.has_ended:
        raise _conflict(row, f"The execution is {row.status} ({row.completion_reason})")


def _require_failed(row: Execution) -> None:
    if row.status != "FAILED":
        raise _conflict(row, f"The execution is {row.status}: only a FAILED one can be retried")


def _conflict(row: Execution, detail: str) -> ConflictProblem:
    return ConflictProblem(
        detail, execution_status=row.status, completion_reason=row.completion_reason
    )
