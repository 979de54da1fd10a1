"""Requests about executions: an event on the contact's stream, and the answer of its shard (X1)."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from goald.api.dependencies import Dependencies
from goald.api.own_events.publication import publish_own
from goald.api.ports import Caller
from goald.domain.derived_ids import requested_execution_id
from goald.domain.ids import ContactId, TenantId
from goald.domain.records import execution_requests as requests
from goald.domain.records.execution import Execution, RequestAnswer
from goald.metrics.api import ApiMetrics


class ExecutionRequests:
    """Sends the requests of one caller."""

    def __init__(self, deps: Dependencies, metrics: ApiMetrics, caller: Caller) -> None:
        self._deps = deps
        self._metrics = metrics
        self._tenant = caller.tenant_id
        self._user = caller.subject

    async def start(
        self, workflow: str, contact: str, key: str | None, attributes: Mapping[str, Any]
    ) -> tuple[RequestAnswer | None, str]:
        """Request the start of an execution. Return the answer of the shard, None if there is none
        within ANSWER_SECONDS, and the key that identifies the request. With `key`, a repeated
        request is the same event, whose first answer counts."""
        used_key = uuid4().hex if key is None else key
        request = requests.start_request(self._tenant, workflow, contact, used_key, attributes)
        if key is not None:
            known = await self._deps.executions.records.answers(self._tenant, [request.id])
            if request.id in known:
                return known[request.id], key
        return await self._answer(request), used_key

    async def execution_id(self, workflow: str, contact: str, key: str) -> str:
        """The id of the execution that a request starts, as its shard derives it (X9): for the
        contact that continues this one (E21)."""
        tenant = self._tenant
        owner = await self._deps.readers.enrollments.continuing(
            TenantId(tenant), ContactId(contact)
        )
        return requested_execution_id(tenant, workflow, owner, key)

    async def change(
        self, execution: Execution, change: requests.RequestedChange
    ) -> RequestAnswer | None:
        """Request the cancellation of an execution, or the repetition of its failed step. Return
        the answer of the shard; None if there is none within ANSWER_SECONDS."""
        request = requests.change_request(execution, change, self._user, str(uuid4()))
        return await self._answer(request)

    async def _answer(self, request: requests.ExecutionRequest) -> RequestAnswer | None:
        """Send a request and wait for its answer."""
        await publish_own(
            self._deps, self._metrics, self._tenant, request.type, request.id, request.data
        )
        answers = self._deps.executions.answers
        return await answers.wait(self._tenant, request.id, requests.ANSWER_SECONDS)
