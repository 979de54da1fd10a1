"""Jobs: requests to perform one action step, as workers receive them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from goald.domain.actions.gates import ActionType, GateId
from goald.domain.ids import ContactId, EnrollmentId, TenantId, WorkflowId
from goald.domain.slots import slot_of
from goald.domain.times import rfc3339

JOB_TYPE: Final = "workflow.action.requested"
"""The CloudEvents type of a job."""
SOURCE: Final = "goald"
DEFAULT_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt of an action step."""

    gate: GateId
    tenant_id: TenantId
    contact_id: ContactId
    workflow_id: WorkflowId
    execution_id: EnrollmentId
    step_id: str
    visit: int
    attempt: int
    action: ActionType
    key: str
    """The idempotency key, the same in all attempts of a visit (X3)."""
    config: Mapping[str, Any]
    """The fields of the action under `with`. Their texts are templates."""
    variables: Mapping[str, Any]
    """The variables of the templates: `contact`, `execution`, `workflow`, `trigger`."""
    connection: str | None = None
    """The name of the tenant's connection; never a secret (X13)."""
    hops: int = 0
    """Of the changes that the action makes (X14)."""
    timeout_s: float = DEFAULT_TIMEOUT_S
    """How long after its gate was passed another worker may take the job over (X4)."""

    @property
    def slot(self) -> int:
        return slot_of(self.tenant_id, self.contact_id)

    def encode(self, at_us: int) -> str:
        """The job as a CloudEvent in JSON. `at_us`: its time."""
        data = {
            "gate": str(self.gate),
            "contact_id": self.contact_id,
            "workflow_id": self.workflow_id,
            "execution_id": self.execution_id,
            "step_id": self.step_id,
            "visit": self.visit,
            "attempt": self.attempt,
            "action": self.action,
            "idempotency_key": self.key,
            "with": self.config,
            "variables": self.variables,
            "connection": self.connection,
            "hops": self.hops,
            "timeout_seconds": self.timeout_s,
        }
        event = {
            "specversion": "1.0",
            "id": str(self.gate),
            "source": SOURCE,
            "type": JOB_TYPE,
            "time": rfc3339(at_us),
            "tenantid": self.tenant_id,
            "data": data,
        }
        return json.dumps(event, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """The inverse of `encode`. Ignores unknown fields. Raises ValueError."""
        try:
            event = json.loads(payload)
            if event["type"] != JOB_TYPE:
                raise ValueError(f"not a job but {event['type']!r}")
            return cls._from_data(event["tenantid"], event["data"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a job: {type(error).__name__} {error}") from error

    @classmethod
    def _from_data(cls, tenant: str, data: Mapping[str, Any]) -> Self:
        return cls(
            gate=GateId.parse(data["gate"]),
            tenant_id=TenantId(tenant),
            contact_id=ContactId(data["contact_id"]),
            workflow_id=WorkflowId(data["workflow_id"]),
            execution_id=EnrollmentId(data["execution_id"]),
            step_id=data["step_id"],
            visit=int(data["visit"]),
            attempt=int(data["attempt"]),
            action=ActionType(data["action"]),
            key=data["idempotency_key"],
            config=data["with"],
            variables=data["variables"],
            connection=data.get("connection"),
            hops=int(data.get("hops", 0)),
            timeout_s=float(data.get("timeout_seconds", DEFAULT_TIMEOUT_S)),
        )
