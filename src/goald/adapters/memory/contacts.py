"""One contact's enrollments, over the tables in memory."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, cast
from uuid import UUID

from goald.adapters.memory.contact_rows import read_contacts
from goald.adapters.memory.database import (
    MemoryDatabase,
    StoredEnrollment,
    copy_binary,
    is_end_only,
)
from goald.adapters.memory.ended.runs import read as read_ended
from goald.adapters.memory.merging.merges import end_of
from goald.adapters.memory.stored.executions import StoredExecution
from goald.adapters.memory.used_events import excludes
from goald.domain.contacts.projection import Contact
from goald.domain.ids import ContactId, EnrollmentId, GoalId, TenantId, WorkflowId
from goald.domain.records.enrollment import Enrollment
from goald.domain.records.execution import Execution, ExecutionStatus
from goald.ports.contacts import ContactState, EndedEnrollment, Exclusion, StartState
from goald.ports.shard_store import EndedCheck, EventCheck, WatchedRuns

RECEIVED_NOW: Final = 1 << 62
"""Later than every merge."""


class MemoryContacts:
    """`ports.ContactReader` and `api.ports.EnrollmentLookup`. Reads at most `most_active`
    active and `most_ended` ended enrollments."""

    def __init__(
        self, database: MemoryDatabase, *, most_active: int = 1_000, most_ended: int = 100
    ) -> None:
        self._tables = database
        self._most_active = most_active
        self._most_ended = most_ended

    async def read(
        self, tenant: TenantId, contact: ContactId, workflows: Sequence[str] = ()
    ) -> ContactState:
        rows = [
            row
            for row in self._tables.enrollments.values()
            if (row.tenant_id, row.contact_id) == (tenant, contact)
        ]
        active = sorted((row for row in rows if row.ended_at is None), key=_newest)
        ended = sorted((row for row in rows if row.ended_at is not None), key=_last_ended)
        newest = active[: self._most_active]
        known = {
            workflow["workflow_id"]: workflow
            for _, workflow in sorted(self._tables.workflows, key=lambda row: row[0])
            if workflow["tenant_id"] == tenant
        }
        returned = [*newest, *ended[: self._most_ended]]
        ids = sorted({*workflows, *(row.workflow_id for row in returned)} & known.keys())
        return ContactState(
            workflows=[known[workflow_id] for workflow_id in ids],
            active=copy_binary(newest),
            active_count=len(active),
            ended=[_record(row) for row in ended[: self._most_ended]],
            truncated=len(active) > self._most_active or len(ended) > self._most_ended,
            executions={
                row.id: _execution(found, row.contact_id)
                for row in newest
                if (found := self._tables.of_executions.executions.get((tenant, row.id)))
            },
        )

    async def continuing(self, tenant: TenantId, contact: ContactId) -> ContactId:
        return ContactId(end_of(self._tables, tenant, contact))

    async def start_state(
        self, tenant: TenantId, contacts: Sequence[ContactId], enrollments: Sequence[str]
    ) -> StartState:
        rows = [row for row in self._tables.enrollments.values() if row.tenant_id == tenant]
        involved = {*contacts, *(ContactId(row.contact_id) for row in rows)}
        ends = {each: ContactId(end_of(self._tables, tenant, each)) for each in involved}
        active = Counter(ends[ContactId(row.contact_id)] for row in rows if row.status == "active")
        return StartState(
            ends,
            {ends[contact]: active[ends[contact]] for contact in contacts},
            {
                row.id: (ends[ContactId(row.contact_id)], WorkflowId(row.workflow_id))
                for row in rows
                if row.id in enrollments
            },
            {
                row.id: EndedEnrollment(
                    ends[ContactId(row.contact_id)],
                    row.workflow_id,
                    row.enrolled_at,
                    is_end_only(row),
                )
                for row in rows
                if row.id in enrollments and row.ended_at is not None
            },
        )

    async def exclusions(
        self, tenant: TenantId, contact: ContactId, event_key: str, enrollments: Sequence[str]
    ) -> Mapping[str, Exclusion]:
        found = {}
        for id_ in enrollments:
            row = self._tables.enrollments[tenant, id_]
            if row.started_by == event_key:
                found[id_] = Exclusion.STARTED_IT
            elif excludes(
                self._tables,
                EventCheck(tenant, contact, row.workflow_id, id_, event_key, RECEIVED_NOW),
            ):
                found[id_] = Exclusion.COUNTED_BEFORE
        return found

    async def ended(self, checks: Sequence[EndedCheck]) -> WatchedRuns:
        return read_ended(self._tables, checks)

    async def projection(self, tenant: TenantId, contact: ContactId) -> Contact:
        return read_contacts(self._tables, [(tenant, contact)])[tenant, contact].contact

    async def enrollment(self, tenant: str, enrollment_id: str) -> Enrollment | None:
        row = self._tables.enrollments.get((tenant, enrollment_id))
        return None if row is None else _record(row)


def _newest(row: StoredEnrollment) -> tuple[int, str]:
    return -row.enrolled_at, row.id


def _last_ended(row: StoredEnrollment) -> tuple[int, str]:
    return -(row.ended_at or 0), row.id


def _record(row: StoredEnrollment) -> Enrollment:
    return Enrollment(
        id=EnrollmentId(row.id),
        workflow_id=WorkflowId(row.workflow_id),
        contact_id=ContactId(row.contact_id),
        status=row.status,
        enrolled_at=row.enrolled_at,
        ended_at=row.ended_at,
        met_goals=[GoalId(UUID(goal)) for goal in row.met_goals],
        pending_actions=row.pending_actions,
        cancelled_actions=row.cancelled_actions,
        exit_acknowledged_at=row.exit_acknowledged_at,
        match_values=None if row.match_values is None else json.loads(row.match_values),
        met_after_end_at=row.met_after_end_at,
    )


def _execution(row: StoredExecution, contact: str) -> Execution:
    """The record of an open execution."""
    return Execution(
        id=EnrollmentId(row.id),
        workflow_id=WorkflowId(row.workflow_id),
        contact_id=ContactId(contact),
        version=row.version,
        status=cast("ExecutionStatus", row.status),
        completion_reason=row.reason,
        waiting_for=row.waiting_for,
        step_id=row.step_id,
        current_step_index=row.step_index,
        total_steps=row.total_steps,
        retry_count=row.retry_count,
        connection=row.connection,
        due_at=None if row.due_ms is None else row.due_ms * 1_000,
        done_steps=row.done_steps,
        created_at=row.started_at_ms * 1_000,
        updated_at=row.started_at_ms * 1_000,
        ended_at=None,
    )
