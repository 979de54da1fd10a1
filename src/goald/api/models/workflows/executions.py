"""Requests and responses for executions."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from goald.api.models.contacts import MAX_ATTRIBUTES, Attributes
from goald.api.models.requests import ChangeRequest
from goald.domain.configuration.criteria import Id
from goald.domain.records.execution import Execution, ExecutionLog, ExecutionStatus
from goald.domain.records.waiting import waiting_reason
from goald.domain.times import rfc3339

_TIME: JsonDict = {"format": "date-time"}
_EXECUTION: JsonDict = {
    "id": "8c3f1f0e-6a55-5d0e-9a3c-1d6f0f6c2b11",
    "workflow_id": "trial-nurture",
    "contact_id": "contact-1",
    "version": 3,
    "status": "PAUSED",
    "completion_reason": None,
    "waiting_for": "timer",
    "waiting_reason": "Its step waits until 2026-01-31T11:00:00.000000Z.",
    "step_id": "pause",
    "current_step_index": 2,
    "total_steps": 6,
    "progress_percent": 33,
    "retry_count": 0,
    "connection": None,
    "due_at": "2026-01-31T11:00:00.000000Z",
    "done_steps": ["welcome"],
    "created_at": "2026-01-31T09:00:00.000000Z",
    "updated_at": "2026-01-31T09:00:00.412000Z",
    "ended_at": None,
}
_LOG: JsonDict = {
    "execution_id": "8c3f1f0e-6a55-5d0e-9a3c-1d6f0f6c2b11",
    "workflow_id": "trial-nurture",
    "contact_id": "contact-1",
    "event_type": "action_completed",
    "timestamp": "2026-01-31T09:00:00.412000Z",
    "step_index": 1,
    "step_id": "welcome",
    "attempt": 1,
    "status": "SUCCESS",
    "duration_ms": 112,
    "message": None,
    "action_config": {"subject": "***", "body": "***"},
    "user_id": None,
}
_STATUS_OF_LOG = {"action_completed": "SUCCESS", "action_failed": "FAILED"}


class NewExecution(ChangeRequest):
    """The contact that enters the workflow."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"contact_id": "contact-1", "attributes": {"coupon": "SPRING"}}]
        }
    )

    contact_id: Id
    attributes: Attributes = Field(
        default_factory=dict,
        max_length=MAX_ATTRIBUTES,
        description="Values for the templates of this execution, at most 8 KiB.",
    )


class ExecutionStarted(BaseModel):
    """The execution that a trigger has started, or the one because of which it was ignored."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"id": _EXECUTION["id"], "status": "QUEUED"}]}
    )

    id: str | None = Field(None, description="Absent if the execution is not known any more.")
    status: ExecutionStatus | None = Field(
        None, description="Absent if the shard of the contact has not answered yet."
    )
    message: str | None = Field(None, description="Why no execution has started, or not yet.")


class ExecutionAnswer(BaseModel):
    """One contact's run through one version of a workflow's definition. Its id is the id of the
    enrollment."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXECUTION]})

    id: str
    workflow_id: str
    contact_id: str
    version: int = Field(description="The version of the definition that it runs.")
    status: ExecutionStatus
    completion_reason: str | None = Field(
        description="Why it has ended: `finished`, `goal_achieved`, or the reason of its "
        "cancellation: `user`, `contact_deleted`, `contact_opted_out`, `contact_merged`, "
        "`workflow_deleted`, `superseded` or `failed_expired`."
    )
    waiting_for: str | None = Field(
        description="It waits for `limit` (of concurrent executions), `release`, `timer`, "
        "`event`, `retry`, `rate_limit`, `connection` (paused) or `inactive` (workflow)."
    )
    waiting_reason: str | None = Field(description="The same in words.")
    step_id: str | None = Field(description="The step that is processed, or next; null at the end.")
    current_step_index: int = Field(description="The position of that step, counted from 1.")
    total_steps: int = Field(description="The steps of the path that is known.")
    progress_percent: int
    retry_count: int = Field(description="The retries of the current step.")
    connection: str | None = Field(description="The connection of the step's action.")
    due_at: str | None = Field(
        description="When the wait ends, or the next attempt is made.", json_schema_extra=_TIME
    )
    done_steps: list[str]
    created_at: str = Field(json_schema_extra=_TIME)
    updated_at: str = Field(json_schema_extra=_TIME)
    ended_at: str | None = Field(json_schema_extra=_TIME)

    @classmethod
    def of(cls, row: Execution, *, is_active: bool) -> "ExecutionAnswer":
        """`is_active`: whether its workflow is."""
        return cls(**_fields(row, is_active=is_active))


class ChangedExecution(ExecutionAnswer):
    """An execution after a cancellation or a retry."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                _EXECUTION
                | {
                    "status": "CANCELLED",
                    "completion_reason": "user",
                    "waiting_for": None,
                    "waiting_reason": None,
                    "due_at": None,
                    "ended_at": "2026-01-31T09:30:00.000000Z",
                    "action_in_flight": False,
                }
            ]
        }
    )

    action_in_flight: bool | None = Field(
        None,
        description="Of a cancellation: whether a worker had passed the gate of the current "
        "action. Its call was in flight and may still take effect; otherwise no call was made "
        "after the cancellation.",
    )

    @classmethod
    def changed(
        cls, row: Execution, *, is_active: bool, action_in_flight: bool | None
    ) -> "ChangedExecution":
        return cls(**_fields(row, is_active=is_active), action_in_flight=action_in_flight)


class ExecutionPage(BaseModel):
    """Executions, newest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [_EXECUTION], "next_cursor": None}]}
    )

    items: list[ExecutionAnswer]
    next_cursor: str | None = Field(
        None, description="The `cursor` of the next page; null on the last page, and with `page`."
    )
    total: int | None = Field(None, description="With `page`: the number of executions.")
    total_is_estimate: bool | None = Field(
        None, description="With `page`: whether `total` is an estimate, because it exceeds 10,000."
    )
    page: int | None = None
    limit: int | None = Field(None, description="With `page`: the size of a page.")
    total_pages: int | None = Field(None, description="With `page`.")


class ExecutionLogAnswer(BaseModel):
    """A row of the log of an execution. Apart from its id, it contains no data of the contact."""

    model_config = ConfigDict(json_schema_extra={"examples": [_LOG]})

    execution_id: str
    workflow_id: str
    contact_id: str
    event_type: str
    timestamp: str = Field(json_schema_extra=_TIME)
    step_index: int | None
    step_id: str | None
    attempt: int = Field(description="Of the action, counted from 1; 0 if there is none.")
    status: str | None = Field(description="Of an action: `SUCCESS` or `FAILED`.")
    duration_ms: int | None
    message: str | None = Field(description="A masked error, a reason or a result.")
    action_config: dict[str, Any] | None = Field(
        description="The fields of the action. Values that may be personal or secret are hidden. "
        "Null for other rows, and if the version of the execution has no such action."
    )
    user_id: str | None = Field(description="The user that cancelled or retried the execution.")

    @classmethod
    def of(
        cls,
        execution: Execution,
        row: ExecutionLog,
        configs: Mapping[str, dict[str, Any]] | None = None,
    ) -> "ExecutionLogAnswer":
        """`configs`: the masked fields of actions, by step."""
        is_action = row.event_type.startswith("action_")
        return cls(
            execution_id=execution.id,
            workflow_id=execution.workflow_id,
            contact_id=execution.contact_id,
            event_type=row.event_type,
            timestamp=rfc3339(row.at),
            step_index=row.step_index,
            step_id=row.step_id,
            attempt=row.attempt,
            status=_STATUS_OF_LOG.get(row.event_type),
            duration_ms=row.duration_ms,
            message=row.message,
            user_id=row.user_id,
            action_config=(configs or {}).get(row.step_id or "") if is_action else None,
        )


class ExecutionLogPage(BaseModel):
    """The log of an execution, oldest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"items": [_LOG], "total": 1, "page": 1, "limit": 50, "total_pages": 1}]
        }
    )

    items: list[ExecutionLogAnswer]
    total: int
    page: int
    limit: int
    total_pages: int


def _fields(row: Execution, *, is_active: bool) -> dict[str, Any]:
    return {
        "id": row.id,
        "workflow_id": row.workflow_id,
        "contact_id": row.contact_id,
        "version": row.version,
        "status": row.status,
        "completion_reason": row.completion_reason,
        "waiting_for": row.waiting_for,
        "waiting_reason": waiting_reason(row, is_active=is_active),
        "step_id": row.step_id or None,
        "current_step_index": row.current_step_index,
        "total_steps": row.total_steps,
        "progress_percent": row.progress_percent,
        "retry_count": row.retry_count,
        "connection": row.connection,
        "due_at": _time(None if row.has_ended else row.due_at),
        "done_steps": list(row.done_steps),
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
        "ended_at": _time(row.ended_at),
    }


def _time(time_us: int | None) -> str | None:
    return None if time_us is None else rfc3339(time_us)
