"""What is sent in and answered by the routes that make events."""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from goald.api.models.body import Body
from goald.domain.configuration.criteria import Id

EVENT_EXAMPLE: Final[dict[str, Any]] = {
    "specversion": "1.0",
    "id": "evt-1001",
    "source": "/shop",
    "type": "payment.completed",
    "time": "2026-01-31T09:00:00Z",
    "data": {
        "contact_id": "contact-1",
        "amount": "149.90",
        "currency": "USD",
        "product_id": "course-7",
    },
}
_ID: Final = {
    "type": "string",
    "minLength": 1,
    "maxLength": 128,
    "pattern": r"^[^\x00-\x1f\x7f-\x9f]*$",
}
_NAME: Final = {"type": "string", "minLength": 1, "maxLength": 1024}

EVENT: Final[dict[str, Any]] = {
    "title": "Event",
    "type": "object",
    "description": "A CloudEvents 1.0 event of at most 64 KiB. `id` and `source` together are "
    "unique within a tenant; more attributes and more fields of `data` are kept as they are.",
    "required": ["id", "source", "type", "time", "data"],
    "maxProperties": 64,
    "properties": {
        "specversion": {"enum": ["1.0", None], "description": "1.0 where absent"},
        "id": _NAME,
        "source": _NAME,
        "type": _NAME | {"description": "one that goald does not read is passed over"},
        "time": {
            "type": "string",
            "format": "date-time",
            "description": "when it happened: RFC 3339 with offset, at most 24 h ahead",
        },
        "tenantid": _ID | {"description": "the caller's tenant, which it is where absent"},
        "traceparent": {"type": ["string", "null"], "maxLength": 128},
        "data": {
            "type": "object",
            "required": ["contact_id"],
            "maxProperties": 64,
            "properties": {"contact_id": _ID},
        },
    },
    "examples": [EVENT_EXAMPLE],
}
"""The component `Event` of the OpenAPI document: what is read is not a model, but bytes."""

EVENT_REF: Final[dict[str, Any]] = {"$ref": "#/components/schemas/Event"}
EVENTS: Final[dict[str, Any]] = {
    "title": "Events",
    "type": "array",
    "items": {
        "anyOf": [EVENT_REF, {"description": "Anything else is refused by itself."}],
    },
    "examples": [[EVENT_EXAMPLE]],
    "minItems": 1,
    "maxItems": 1_000,
}


class RefusedEventAnswer(BaseModel):
    """An event that was not taken, and why."""

    model_config = ConfigDict(title="RefusedEvent")

    index: int = Field(description="its place in the list, from 0 on")
    id: str | None = Field(None, description="its own id, where it can be read")
    reason: str = Field(description="the words that goald:dead would have")


class EventsTaken(BaseModel):
    """Which events are on the streams by now."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "accepted": 2,
                    "refused": [
                        {
                            "index": 1,
                            "id": "evt-1002",
                            "reason": "data.contact_id: required, but absent",
                        }
                    ],
                }
            ]
        }
    )

    accepted: int
    refused: list[RefusedEventAnswer]


class NewEnrollment(Body):
    """A contact that has begun a run through the workflow."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "enrollment_id": "enrollment-1",
                    "contact_id": "contact-1",
                    "enrolled_at": "2026-01-31T09:00:00Z",
                    "pending_actions": 3,
                }
            ]
        },
    )

    enrollment_id: Id
    contact_id: Id
    enrolled_at: str | None = Field(
        None,
        max_length=64,
        strict=True,
        json_schema_extra={"format": "date-time"},
        description="RFC 3339 with offset, at most 24 h ahead; now, where absent",
    )
    pending_actions: int | None = Field(
        None, strict=True, ge=0, le=2**31 - 1, description="what an exit would save"
    )


class EnrollmentEnd(Body):
    """An enrollment that has left its workflow for a reason of its own."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "completed"}]})

    reason: Literal["completed", "exited", "cancelled"]
    contact_id: Id | None = Field(
        None,
        description="needed where goald may not know the enrollment yet: what was sent a moment "
        "ago may still be on its way",
    )


class EventMade(BaseModel):
    """The event that was published; the same for a repeat."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "event_id": "4f1c2a6e-5b0d-5c1e-9a57-0d8f5be0f3a1",
                    "type": "workflow.enrollment.started",
                }
            ]
        }
    )

    event_id: str
    type: str
