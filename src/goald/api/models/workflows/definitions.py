"""Answers about definitions of workflows."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from goald.api.models.requests import require_metadata
from goald.configuration.definitions import DefinitionView
from goald.domain.configuration.workflows import DefinitionVersion
from goald.domain.definitions.differences import StepChange
from goald.domain.definitions.documents import MAX_DOCUMENT_BYTES
from goald.domain.times import rfc3339

DOCUMENT: JsonDict = {
    "trigger": {"on": "form_submitted", "criteria": {"form_id": "trial"}},
    "timezone": "Europe/Berlin",
    "steps": [
        {
            "id": "welcome",
            "action": "send_email",
            "with": {"subject": "Hi {{ contact.first_name }}", "body": "Your trial has begun."},
        },
        {"id": "pause", "wait": {"for": "2h"}},
        {"id": "mark", "action": "add_tag", "with": {"tag_name": "Nurtured"}},
    ],
}
_DIGEST = "e1b8a2f0d2c6b1c4a7a5f43d1d1b1c7f0c9e5b7f6a2d4c3b8e7f1a0b9c8d7e6f"
_TIME: JsonDict = {"format": "date-time"}

DefinitionStatus = Literal["draft", "published"]

DEFINITION_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The definition. The reference of definitions describes it; a draft may "
        f"have faults. At most {MAX_DOCUMENT_BYTES:,} bytes.",
        "content": {
            "application/json": {
                "schema": {
                    "title": "DefinitionDocument",
                    "type": "object",
                    "properties": {
                        "trigger": {"description": "The events that start an execution."},
                        "reentry": {"description": "When a contact may start again."},
                        "timezone": {"description": "The zone of contacts that have none."},
                        "max_lateness": {"description": "Of actions that have none."},
                        "steps": {"description": "At least one step."},
                    },
                },
                "example": DOCUMENT,
            }
        },
    }
}
"""The OpenAPI description of a document. Its values are not described, because a draft may have
any."""


class FaultAnswer(BaseModel):
    """A fault of a draft, for which it cannot be published."""

    path: str = Field(description="The place, such as steps[3].then[0].with.url.")
    pointer: str = Field(description="The place as a JSON pointer (RFC 6901).")
    detail: str


class StepChangeAnswer(BaseModel):
    """How a step differs from the version that was published before."""

    step_id: str
    change: StepChange
    continues_at: str | None = Field(
        description="The step at which an execution that is at this step continues; null if it is "
        "completed, and for an added step."
    )


class DefinitionAnswer(BaseModel):
    """A version of the definition of a workflow."""

    model_config = ConfigDict(
        title="Definition",
        json_schema_extra={
            "examples": [
                {
                    "workflow_id": "trial-nurture",
                    "version": 2,
                    "status": "draft",
                    "definition": DOCUMENT,
                    "digest": _DIGEST,
                    "faults": [],
                    "changes": [
                        {"step_id": "welcome", "change": "kept", "continues_at": "welcome"},
                        {"step_id": "pause", "change": "changed", "continues_at": "pause"},
                        {"step_id": "mark", "change": "added", "continues_at": None},
                        {"step_id": "text", "change": "removed", "continues_at": "mark"},
                    ],
                    "created_at": "2026-01-26T10:00:00.000000Z",
                    "updated_at": "2026-01-26T10:00:00.000000Z",
                    "published_at": None,
                }
            ]
        },
    )

    workflow_id: str
    version: int
    status: DefinitionStatus
    definition: dict[str, Any] = Field(description="The document, with its members in order.")
    digest: str = Field(
        description="The SHA-256 of the document, regardless of the order of its members."
    )
    faults: list[FaultAnswer] = Field(
        description="Of a draft: why it cannot be published. References to the catalog are checked "
        "when it is published."
    )
    changes: list[StepChangeAnswer] | None = Field(
        description="How the steps differ from the version that was published before; null if "
        "there is none, if the draft has faults, and if no draft was changed or published."
    )
    created_at: str = Field(json_schema_extra=_TIME)
    updated_at: str = Field(json_schema_extra=_TIME)
    published_at: str | None = Field(json_schema_extra=_TIME)

    @classmethod
    def of(cls, view: DefinitionView) -> "DefinitionAnswer":
        row, metadata = view.row, require_metadata(view.row.metadata)
        return cls(
            workflow_id=row.workflow_id,
            version=row.version,
            status="published" if row.is_published else "draft",
            definition={},
            digest=row.digest.hex(),
            faults=[
                FaultAnswer(path=each.place, pointer=each.pointer, detail=each.text)
                for each in view.faults
            ],
            changes=None
            if view.differences is None
            else [
                StepChangeAnswer(
                    step_id=each.step_id, change=each.change, continues_at=each.continues_at
                )
                for each in view.differences
            ],
            created_at=rfc3339(metadata.created_at),
            updated_at=rfc3339(metadata.updated_at),
            published_at=_time(row.published_at),
        )


class DefinitionVersionAnswer(BaseModel):
    """A version of a definition, without its document."""

    model_config = ConfigDict(title="DefinitionVersion")

    version: int
    status: DefinitionStatus
    digest: str
    created_at: str = Field(json_schema_extra=_TIME)
    created_by: str | None
    updated_at: str = Field(json_schema_extra=_TIME)
    updated_by: str | None
    published_at: str | None = Field(json_schema_extra=_TIME)
    published_by: str | None

    @classmethod
    def of(cls, row: DefinitionVersion) -> "DefinitionVersionAnswer":
        return cls(
            version=row.version,
            status="draft" if row.published_at is None else "published",
            digest=row.digest.hex(),
            created_at=rfc3339(row.created_at),
            created_by=row.created_by,
            updated_at=rfc3339(row.updated_at),
            updated_by=row.updated_by,
            published_at=_time(row.published_at),
            published_by=row.published_by,
        )


class DefinitionVersionList(BaseModel):
    """The versions of a definition, newest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "versions": [
                        {
                            "version": 1,
                            "status": "published",
                            "digest": _DIGEST,
                            "created_at": "2026-01-26T10:00:00.000000Z",
                            "created_by": "ada",
                            "updated_at": "2026-01-26T10:05:00.000000Z",
                            "updated_by": "ada",
                            "published_at": "2026-01-26T10:05:00.000000Z",
                            "published_by": "ada",
                        }
                    ],
                    "total": 1,
                }
            ]
        }
    )

    versions: list[DefinitionVersionAnswer]
    total: int = Field(description="The total number.")


def _time(time_us: int | None) -> str | None:
    return None if time_us is None else rfc3339(time_us)
