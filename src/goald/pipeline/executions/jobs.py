"""Builds the jobs of committed transitions, for their streams."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from goald.domain.actions.gates import ActionType, GateId
from goald.domain.actions.job import Job
from goald.domain.contacts.merging import ContactKey, StoredContact
from goald.domain.ids import ContactId, EnrollmentId, TenantId, WorkflowId
from goald.ports.actions.gates import JobEntry


class StartedJob(NamedTuple):
    """A job that a transition starts."""

    gate: GateId
    tenant_id: str
    contact_id: str
    workflow_id: str
    execution_id: str
    step_id: str
    visit: int
    attempt: int
    action: ActionType
    connection: str | None
    key: str
    """The idempotency key."""
    config: str
    """The fields of the action under `with`, as JSON."""
    hops: int

    @property
    def contact(self) -> ContactKey:
        return self.tenant_id, self.contact_id


def job_entries(
    jobs: Sequence[StartedJob], stored: Mapping[ContactKey, StoredContact], now_us: int
) -> list[JobEntry]:
    """The entries of jobs, with the contacts that their templates name."""
    return [
        JobEntry(job.gate, job.action, _job(job, stored.get(job.contact)).encode(now_us))
        for job in jobs
    ]


def _job(job: StartedJob, stored: StoredContact | None) -> Job:
    return Job(
        gate=job.gate,
        tenant_id=TenantId(job.tenant_id),
        contact_id=ContactId(job.contact_id),
        workflow_id=WorkflowId(job.workflow_id),
        execution_id=EnrollmentId(job.execution_id),
        step_id=job.step_id,
        visit=job.visit,
        attempt=job.attempt,
        action=job.action,
        key=job.key,
        config=json.loads(job.config),
        variables={
            "contact": _contact(job.contact_id, stored),
            "execution": {"id": job.execution_id},
            "workflow": {"id": job.workflow_id},
        },
        connection=job.connection,
        hops=job.hops,
    )


def _contact(contact_id: str, stored: StoredContact | None) -> dict[str, Any]:
    """A contact as templates see it: its attributes, and the fields of that name."""
    if stored is None:
        return {"id": contact_id}
    contact = stored.contact
    fields = {
        "email": contact.email,
        "phone": contact.phone,
        "timezone": contact.timezone,
        "opted_in": contact.opted_in,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    tags = [tag.name or tag.id for tag in contact.tags]
    return {**contact.attributes, **given, "id": contact_id, "tags": tags}
