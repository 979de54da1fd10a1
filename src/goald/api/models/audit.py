"""Responses with entries of the audit log."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from goald.domain.audit.record import AuditRecord
from goald.domain.times import rfc3339

_GOAL = "0190b5a4-6a3e-7c10-9d0f-0d7e6f1f7a11"
_UPDATED: JsonDict = {
    "recorded_at": "2026-01-27T14:05:09.118204Z",
    "actor": "editor-7",
    "action": "workflow.updated",
    "subject": "workflow",
    "subject_id": "lead-nurturing",
    "workflow_id": "lead-nurturing",
    "before": {"id": "lead-nurturing", "name": "Leads", "goal_logic": "any", "is_active": True},
    "after": {
        "id": "lead-nurturing",
        "name": "Lead Nurturing",
        "goal_logic": "any",
        "is_active": True,
    },
    "hash": "9d7a4c9f6f5ce6b5f4e3b3ad2a0b4f8f0b9c51b5d4b4f2ad2c2f5a5b0c7d1e33",
}
_ACHIEVED: JsonDict = {
    "recorded_at": "2026-01-29T09:30:12.258011Z",
    "actor": "goald",
    "action": "goal.achieved",
    "subject": "enrollment",
    "subject_id": "enrollment-81",
    "workflow_id": "lead-nurturing",
    "before": None,
    "after": {
        "achievement_id": "5d2c8f2a-0f0e-5a43-8f1b-6d9a1f0f4b11",
        "goal_id": _GOAL,
        "goal_type": "tag_added",
        "achieved_at": "2026-01-29T09:30:12.250000Z",
    },
    "hash": "1b2f60d5a7a3c2c0de5a8a7ce1e4b3f29d0c8b7a6958473625140f3e2d1c0b9a",
}


class AuditEntry(BaseModel):
    """A change of the configuration, or an achievement."""

    model_config = ConfigDict(json_schema_extra={"examples": [_UPDATED, _ACHIEVED]})

    recorded_at: str = Field(json_schema_extra={"format": "date-time"})
    actor: str = Field(description="The `sub` of the token; `goald` for an achievement.")
    action: str = Field(description="The action. Later releases may add actions.")
    subject: str = Field(
        description="The type of the object: `workflow`, `goal`, "
        "`enrollment`, `webhook`, `source`, or a kind "
        "of the catalog."
    )
    subject_id: str
    workflow_id: str | None
    before: dict[str, Any] | None = Field(
        description="The object before the change. Null for a new object and an achievement."
    )
    after: dict[str, Any] | None = Field(
        description="The object after the change. Null for a deleted object."
    )
    hash: str = Field(
        description="The SHA-256 of this entry and the hash of the previous entry in its chain."
    )

    @classmethod
    def of(cls, row: AuditRecord) -> "AuditEntry":
        return cls(
            recorded_at=rfc3339(row.recorded_at),
            actor=row.actor,
            action=row.action,
            subject=row.subject,
            subject_id=row.subject_id,
            workflow_id=row.workflow_id,
            before=None if row.before is None else dict(row.before),
            after=None if row.after is None else dict(row.after),
            hash=row.hash.hex(),
        )


class AuditPage(BaseModel):
    """Entries of the audit log, newest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [_ACHIEVED, _UPDATED], "next_cursor": None}]}
    )

    items: list[AuditEntry]
    next_cursor: str | None = Field(
        description="The `cursor` of the next page; null on the last page. "
        "A page of a filtered list "
        "may be short or empty although more pages follow."
    )
