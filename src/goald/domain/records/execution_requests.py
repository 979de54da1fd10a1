"""Requests about executions: events of their contacts, which only goald sends and shards answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from goald.domain.derived_ids import derived_id
from goald.domain.records.execution import Execution

REQUESTED: Final = "workflow.execution.requested"
ANSWER_SECONDS: Final = 2.0
"""How long a sender waits for the answer of a shard."""
RequestedChange: TypeAlias = Literal["cancel", "retry"]


@dataclass(frozen=True, slots=True)
class ExecutionRequest:
    """The event of a request. Its answer has the same id."""

    id: str
    type: str
    data: Mapping[str, Any]


def start_request(
    tenant: str, workflow: str, contact: str, key: str, attributes: Mapping[str, Any]
) -> ExecutionRequest:
    """A trigger. The same key is the same request, whose first answer counts."""
    data: dict[str, Any] = {"contact_id": contact, "workflow_id": workflow, "key": key}
    if attributes:
        data["attributes"] = attributes
    event_id = str(derived_id(tenant, REQUESTED, workflow, contact, key))
    return ExecutionRequest(event_id, REQUESTED, data)


def change_request(
    execution: Execution, change: RequestedChange, user: str, event_id: str
) -> ExecutionRequest:
    """A cancellation, or the repetition of a failed step. `user`: who asks, for the log."""
    data = {"contact_id": execution.contact_id, "execution_id": execution.id, "user": user}
    return ExecutionRequest(event_id, f"workflow.execution.{change}_requested", data)
