"""Builds the jobs of committed transitions, for their streams."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from goald.domain.actions.gates import ActionType, GateId
from goald.domain.actions.job import Job
from goald.domain.contacts.merging import ContactKey, StoredContact
from goald.domain.ids import ContactId, EnrollmentId, TenantId, WorkflowId
from goald.domain.times import rfc3339
from goald.pipeline.executions.recovery import JobInFlight
from goald.ports.actions.gates import JobEntry
from goald.ports.configuration import WorkflowKey
from goald.ports.executions.store import ExecutionKey, ExecutionStart

START_VARIABLES: Final = ("trigger", "started_at", "attributes")


class JobFacts(NamedTuple):
    """The facts that the templates of jobs use."""

    contacts: Mapping[ContactKey, StoredContact]
    starts: Mapping[ExecutionKey, ExecutionStart]
    """Of the jobs that need them."""
    workflows: Callable[[WorkflowKey], str]
    """Returns the name of a workflow."""


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
    def execution(self) -> ExecutionKey:
        return ExecutionKey(self.tenant_id, self.execution_id)

    @property
    def needs_start(self) -> bool:
        """Whether its templates may name more of the start of its execution than the id."""
        return any(name in self.config for name in START_VARIABLES)

    @property
    def in_flight(self) -> JobInFlight:
        """The job, when it is committed."""
        return JobInFlight(
            self.tenant_id, self.contact_id, self.execution_id, self.step_id, self.visit,
            self.attempt, self.action, self.gate,
        )  # fmt: skip

    @property
    def contact(self) -> ContactKey:
        return self.tenant_id, self.contact_id


def job_entries(jobs: Sequence[StartedJob], facts: JobFacts, now_us: int) -> list[JobEntry]:
    """The entries of jobs, with the variables of their templates."""
    return [JobEntry(job.gate, job.action, _job(job, facts).encode(now_us)) for job in jobs]


def _job(job: StartedJob, facts: JobFacts) -> Job:
    workflow = WorkflowKey(job.tenant_id, job.workflow_id)
    execution, trigger = _start(job, facts.starts.get(job.execution))
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
            "contact": _contact(job.contact_id, facts.contacts.get(job.contact)),
            "execution": execution,
            "workflow": {"id": job.workflow_id, "name": facts.workflows(workflow)},
            **trigger,
        },
        connection=job.connection,
        hops=job.hops,
    )


def _start(job: StartedJob, start: ExecutionStart | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The variable `execution`, and the variables of its trigger."""
    execution: dict[str, Any] = {"id": job.execution_id}
    if start is None:
        return execution, {}
    given = json.loads(start.variables or "{}")
    execution["started_at"] = rfc3339(start.started_at_us)
    execution["attributes"] = given.pop("attributes", {})
    return execution, given


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
