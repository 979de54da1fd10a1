"""Entries of the audit log as a tenant sees them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

AuditAction: TypeAlias = Literal[
    "workflow.created", "workflow.updated", "workflow.activated", "workflow.deactivated",
    "workflow.deleted", "goal.created", "goal.updated", "goal.deleted", "goal.achieved",
    "definition.created", "definition.updated", "definition.published", "definition.deleted",
    "entity.created", "entity.updated", "entity.deleted",
    "webhook.created", "webhook.updated", "webhook.deleted",
    "source.created", "source.updated", "source.deleted",
]  # fmt: skip
ACHIEVED: AuditAction = "goal.achieved"


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One entry. Its number within its chain is left out, because chains are shared with other
    tenants (D8); `hash` identifies the entry."""

    recorded_at: int
    """Microseconds since the Unix epoch."""
    actor: str
    action: str
    subject: str
    subject_id: str
    workflow_id: str | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    hash: bytes
