"""The names of workflows in the set of inactive ones."""

from goald.domain.ids import TenantId, WorkflowId


def workflow_member(tenant: TenantId, workflow: WorkflowId) -> str:
    """A text that no other workflow of any tenant has (D8)."""
    return f"{len(tenant)}:{tenant}{workflow}"
