"""Requests about executions: an event on the contact's stream, and the answer of its shard (X1)."""

from typing import Final, Literal, TypeAlias
from uuid import uuid4

from goald.api.dependencies import Dependencies
from goald.api.own_events.publication import publish_own
from goald.api.ports import Caller
from goald.domain.derived_ids import derived_id, requested_execution_id
from goald.domain.ids import ContactId, TenantId
from goald.domain.records.execution import Execution, RequestAnswer
from goald.metrics.api import ApiMetrics

PATIENCE_S: Final = 2.0
"""How long the API waits for the answer of a shard."""
REQUESTED: Final = "workflow.execution.requested"
Change: TypeAlias = Literal["cancel", "retry"]


class ExecutionRequests:
    """Sends the requests of one caller."""

    def __init__(self, deps: Dependencies, metrics: ApiMetrics, caller: Caller) -> None:
        self._deps = deps
        self._metrics = metrics
        self._tenant = caller.tenant_id
        self._user = caller.subject

    async def start(
        self, workflow: str, contact: str, key: str | None, attributes: dict[str, object]
    ) -> tuple[RequestAnswer | None, str]:
        """Request the start of an execution. Return the answer of the shard, None if there is none
        within PATIENCE_S, and the key that identifies the request. With `key`, a repeated request
        is the same event, whose first answer counts."""
        tenant, executions = self._tenant, self._deps.executions
        key_or_random = uuid4().hex if key is None else key
        request = str(derived_id(tenant, REQUESTED, workflow, contact, key_or_random))
        if key is not None:
            known = await executions.records.answers(tenant, [request])
            if request in known:
                return known[request], key
        data: dict[str, object] = {
            "contact_id": contact,
            "workflow_id": workflow,
            "key": key_or_random,
        }
        if attributes:
            data["attributes"] = attributes
        await publish_own(self._deps, self._metrics, tenant, REQUESTED, request, data)
        return await executions.answers.wait(tenant, request, PATIENCE_S), key_or_random

    async def execution_id(self, workflow: str, contact: str, key: str) -> str:
        """The id of the execution that a request starts, as its shard derives it (X9): for the
        contact that continues this one (E21)."""
        tenant = self._tenant
        owner = await self._deps.readers.enrollments.continuing(
            TenantId(tenant), ContactId(contact)
        )
        return requested_execution_id(tenant, workflow, owner, key)

    async def change(self, execution: Execution, change: Change) -> RequestAnswer | None:
        """Request the cancellation of an execution, or the repetition of its failed step. Return
        the answer of the shard; None if there is none within PATIENCE_S."""
        request = str(uuid4())
        data = {
            "contact_id": execution.contact_id,
            "execution_id": execution.id,
            "user": self._user,
        }
        kind = f"workflow.execution.{change}_requested"
        await publish_own(self._deps, self._metrics, self._tenant, kind, request, data)
        return await self._deps.executions.answers.wait(self._tenant, request, PATIENCE_S)
