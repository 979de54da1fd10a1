"""Requests and responses of the routes that send events."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from goald.api.models.requests import Body
from goald.domain.configuration.criteria import MATCH_NAME_PATTERN, MATCH_NAMES, Id
from goald.domain.ids import ID_PATTERN
from goald.domain.records.erasure import PSEUDONYM_PREFIX

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
    "type": ["string", "integer"],
    "minLength": 1,
    "maxLength": 256,
    "pattern": ID_PATTERN,
}
_RESERVED: Final = f"Must not start with `{PSEUDONYM_PREFIX}`, which is reserved."
_NAME: Final = {"type": ["string", "integer"], "minLength": 1, "maxLength": 1024}
_TYPE: Final = {"type": "string", "minLength": 1, "maxLength": 1024}

EVENT: Final[dict[str, Any]] = {
    "title": "Event",
    "type": "object",
    "description": "A CloudEvents 1.0 event of at most 256 KiB. `id` and `source` together are "
    "unique within a tenant. Additional attributes and fields of `data` refuse nothing and are "
    "kept as far as they fit into 4 KiB. An integer is taken as its decimal text.",
    "required": ["type", "data"],
    "properties": {
        "specversion": {"enum": ["1.0", None], "description": "Default: 1.0."},
        "id": _NAME
        | {
            "description": "Default: the id of the signed webhook, else one derived from the "
            "`Idempotency-Key` and the body, else a random one: two equal events are then two."
        },
        "source": _NAME
        | {"description": "Default: the provider of the signed webhook, else `goald/api`."},
        "type": _TYPE | {"description": "Events of unknown types are counted and not published."},
        "time": {
            "anyOf": [
                {"type": "string", "format": "date-time"},
                {"type": "number", "minimum": 100_000_000},
            ],
            "description": "When it happened: RFC 3339 with an offset, at most 24 hours in the "
            "future. Also accepted: a space for the `T`, no seconds, `+0000` or `+00` for the "
            "offset, and seconds, milliseconds or microseconds since 1970. Default: the time of "
            "arrival.",
        },
        "tenantid": _ID
        | {"description": "Default: the caller's tenant. Another tenant is refused."},
        "traceparent": {"type": ["string", "null"], "maxLength": 128},
        "data": {
            "type": "object",
            "required": ["contact_id"],
            "properties": {"contact_id": _ID | {"description": _RESERVED}},
        },
    },
    "examples": [EVENT_EXAMPLE],
}
"""The component `Event` of the OpenAPI document. Not a model, because events are read as bytes."""

EVENT_REF: Final[dict[str, Any]] = {"$ref": "#/components/schemas/Event"}
EVENTS: Final[dict[str, Any]] = {
    "title": "Events",
    "type": "array",
    "items": {
        "anyOf": [EVENT_REF, {"description": "Anything else is refused individually."}],
    },
    "examples": [[EVENT_EXAMPLE]],
    "minItems": 1,
    "maxItems": 1_000,
}


class RefusedEventAnswer(BaseModel):
    """An event that was refused."""

    model_config = ConfigDict(title="RefusedEvent")

    index: int = Field(description="The position in the list, from 0.")
    id: str | None = Field(None, description="The id of the event, if it can be read.")
    reason: str = Field(description="The reason, as in dead letters.")


class IgnoredType(BaseModel):
    """An event type that has no effect."""

    type: str
    nearest: str | None = Field(
        None, description="The most similar type that has an effect, if the type seems misspelt."
    )


class EventsAccepted(BaseModel):
    """The numbers of accepted and ignored events, and why each other event was refused. Accepted
    events have been added to the event streams, except ignored ones."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "accepted": 2,
                    "ignored": 1,
                    "ignored_types": [{"type": "payment.complete", "nearest": "payment.completed"}],
                    "refused": [
                        {
                            "index": 2,
                            "id": "evt-1002",
                            "reason": "data.contact_id: required but missing",
                        }
                    ],
                }
            ]
        }
    )

    accepted: int = Field(description="How many events were accepted, including ignored ones.")
    ignored: int = Field(
        description="How many of the accepted events have a type without effect: they are counted "
        "and not published."
    )
    ignored_types: list[IgnoredType] = Field(description="The types of the ignored events.")
    refused: list[RefusedEventAnswer]


class EventReference(Body):
    """An event."""

    source: str = Field(min_length=1, max_length=1024, strict=True)
    id: str = Field(min_length=1, max_length=1024, strict=True)


MatchName = Annotated[str, StringConstraints(strict=True, pattern=MATCH_NAME_PATTERN)]


class NewEnrollment(Body):
    """The enrollment of a contact in the workflow."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "enrollment_id": "enrollment-1",
                    "contact_id": "contact-1",
                    "enrolled_at": "2026-01-31T09:00:00Z",
                    "pending_actions": 3,
                    "match": {"cart_id": "cart-7"},
                    "started_by": {"source": "shop", "id": "order-4711"},
                }
            ]
        },
    )

    enrollment_id: Id
    contact_id: Id = Field(description=_RESERVED)
    enrolled_at: str | None = Field(
        None,
        max_length=64,
        strict=True,
        json_schema_extra={"format": "date-time"},
        description="RFC 3339 with an offset, at most 24 hours in the future. Default: now.",
    )
    pending_actions: int | None = Field(
        None,
        strict=True,
        ge=0,
        le=1_000_000,
        description="The number of actions that an exit would cancel.",
    )
    match: Annotated[dict[MatchName, Id], Field(max_length=MATCH_NAMES)] | None = Field(
        None,
        description="Values of this enrollment, such as the id of a cart. A goal with `match` "
        "compares them with the fields of the same names in the event's `data`.",
    )
    started_by: EventReference | None = Field(
        None,
        description="The event that started the enrollment. It never counts for it.",
    )


class EnrollmentEnd(Body):
    """The end of an enrollment for another reason than its goals."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reason": "completed", "contact_id": "contact-1"}]}
    )

    reason: Literal["completed", "exited", "cancelled"]
    contact_id: Id | None = Field(
        None,
        description="Required if the enrollment was sent so recently that it may not have been "
        "processed.",
    )


class PublishedEvent(BaseModel):
    """The published event. A repeated request returns the same event."""

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
