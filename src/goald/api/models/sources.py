"""Requests and responses for sources."""

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

from goald.api.models.requests import Body
from goald.api.sources.processing import PreparedEvent
from goald.api.sources.receiver import TestedDelivery
from goald.domain.credentials.sources import MAX_SECRETS, SourceEntry
from goald.domain.records.deliveries import DeliveryRecord
from goald.domain.times import rfc3339
from goald.sources.compiled import Source
from goald.sources.documents.presets import preset_names, unknown_preset

MAX_OVERLAP_S = 30 * 86_400
DAY_S = 86_400
_SOURCE: dict[str, JsonValue] = {
    "name": "stripe",
    "preset": "stripe",
    "overrides": {"accept_tests": True},
    "secrets": 1,
    "types": ["contact.updated", "payment.completed", "payment.refunded"],
    "notes": [],
    "created_at": "2026-01-31T09:00:00.000000Z",
    "updated_at": "2026-01-31T09:00:00.000000Z",
    "key_created_at": "2026-01-31T09:00:00.000000Z",
}
_EVENT: dict[str, JsonValue] = {
    "type": "payment.completed",
    "id": "checkout.session:cs_live_1",
    "contact_id": "crm-42",
    "outcome": "sent",
}
_DELIVERY: dict[str, JsonValue] = {
    "id": "7f1c9a52-5b1e-4a35-9c0e-0d3d5b1f2a11",
    "received_at": "2026-01-31T09:00:00.000000Z",
    "outcome": "accepted",
    "verification": "the header matches secret 1",
    "size": 512,
    "media_type": "application/json",
    "is_test": False,
    "event_count": 1,
    "events": [_EVENT],
    "notes": [],
}
_TIME: dict[str, JsonValue] = {"format": "date-time"}
_URL = "https://goald.example.com/hooks/acme/stripe/4jXo3HmnVJ1c9TqkZ8yQWg"
_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 -- an example


def _known_preset(name: str) -> str:
    fault = unknown_preset(name)
    if fault is not None:
        raise PydanticCustomError("preset", "{fault}", {"fault": fault})
    return name


Preset = Annotated[str, Field(max_length=64), AfterValidator(_known_preset)]
Secret = Annotated[str, StringConstraints(min_length=1, max_length=1_024)]


class SourceRequest(Body):
    """The preset of a source, and what differs from it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "preset": "stripe",
                    "secrets": [_SECRET],
                    "contact": {"id": "object.metadata.contact_id"},
                    "overrides": {"accept_tests": True},
                }
            ]
        }
    )

    preset: Preset = Field(
        description="The preset, or `custom` for a document in `overrides`: "
        f"{', '.join(preset_names())}.",
    )
    secrets: list[Secret] | None = Field(
        None,
        max_length=MAX_SECRETS,
        description="The secrets of the provider, in the form in which it shows them. A delivery "
        "needs the signature of one of them. Default: those of the existing source.",
    )
    contact: dict[str, Any] | None = Field(
        None, description="Short for `contact` in `overrides`: how the contact is found."
    )
    overrides: dict[str, Any] = Field(
        {},
        description="Changes to the preset's document, as a JSON merge patch: see "
        "docs/reference/source-documents.md.",
    )


class RotateKeyRequest(Body):
    """The time for which the URL before the rotation works."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"overlap_seconds": 3_600}]})

    overlap_seconds: int = Field(
        DAY_S,
        ge=0,
        le=MAX_OVERLAP_S,
        description="How long the previous URL works. 0: it ends immediately.",
    )


class SourceAnswer(BaseModel):
    """A source, without its secrets."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {**_SOURCE, "url": _URL},
            ]
        }
    )

    name: str
    preset: str
    overrides: dict[str, Any]
    secrets: int = Field(description="The number of its secrets.")
    types: list[str] | None = Field(
        None,
        description="The event types that it may send; absent if this release cannot use it.",
    )
    notes: list[str] = Field(
        [], description="Expressions that find nothing in any delivery, with their place."
    )
    created_at: str = Field(json_schema_extra=_TIME)
    updated_at: str = Field(json_schema_extra=_TIME)
    key_created_at: str = Field(json_schema_extra=_TIME)
    previous_key_expires_at: str | None = Field(
        None, description="Until when the previous URL works.", json_schema_extra=_TIME
    )
    url: str | None = Field(
        None,
        description="The URL to give to the provider: GOALD_PUBLIC_URL and a path that ends in the "
        "key. Returned only when the source is created and when its key is rotated.",
    )

    @classmethod
    def of(
        cls, entry: SourceEntry, source: Source | None, url: str | None = None
    ) -> "SourceAnswer":
        """`source`: None if this release cannot use it."""
        previous_us = entry.previous_key_expires_at_us
        return cls(
            name=entry.name,
            preset=entry.preset,
            overrides=dict(entry.overrides),
            secrets=entry.secret_count,
            types=None if source is None else sorted(source.types),
            notes=[] if source is None else list(source.notes),
            created_at=rfc3339(entry.created_at_us),
            updated_at=rfc3339(entry.updated_at_us),
            key_created_at=rfc3339(entry.key_created_at_us),
            previous_key_expires_at=None if previous_us is None else rfc3339(previous_us),
            url=url,
        )


class Sources(BaseModel):
    """The sources of the tenant, by name."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [_SOURCE]}]})

    items: list[SourceAnswer]


class DeliveredEventAnswer(BaseModel):
    """An event of a delivery."""

    type: str
    id: str
    contact_id: str | None = Field(None, description="Absent if no contact was found.")
    outcome: str = Field(description="`sent`, `ignored`, `dead` (dead-lettered) or `refused`.")
    reason: str | None = None


class DeliveryAnswer(BaseModel):
    """A delivery. Addresses in its ids are masked."""

    id: str
    received_at: str = Field(json_schema_extra=_TIME)
    outcome: str = Field(
        description="`accepted`: events are on the streams. `ignored`: it means no event. "
        "`handshake`: answered. `unverified`: not authentic. `failed`: the provider must deliver "
        "it again."
    )
    verification: str = Field(description="Why it is trusted or not.")
    size: int = Field(description="Bytes of the body.")
    media_type: str
    is_test: bool = Field(description="Whether it is a test event of the provider.")
    event_count: int
    events: list[DeliveredEventAnswer] = Field(description="The first five.")
    notes: list[str] = Field(
        description="Why it, or something in it, means no event; and payments and refunds whose "
        "`amount` leads nowhere in it."
    )

    @classmethod
    def of(cls, record: DeliveryRecord) -> "DeliveryAnswer":
        return cls(
            id=record.id,
            received_at=rfc3339(record.received_at_us),
            outcome=record.outcome,
            verification=record.verification,
            size=record.size,
            media_type=record.media_type,
            is_test=record.is_test,
            event_count=record.event_count,
            events=[
                DeliveredEventAnswer(
                    type=each.type,
                    id=each.id,
                    contact_id=each.contact,
                    outcome=each.outcome,
                    reason=each.reason,
                )
                for each in record.events
            ],
            notes=list(record.notes),
        )


class Deliveries(BaseModel):
    """The latest deliveries of a source with the right key in the path, newest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"verified": [_DELIVERY], "unverified": []}]}
    )

    verified: list[DeliveryAnswer] = Field(description="The last 100 authentic deliveries.")
    unverified: list[DeliveryAnswer] = Field(description="The last 100 others.")


class TestedEvent(BaseModel):
    """An event that a payload means."""

    type: str
    id: str
    source: str
    time: str | None = Field(
        None, description="Absent: the time of arrival.", json_schema_extra=_TIME
    )
    contact_id: str | None = None
    outcome: str = Field(description="`sent`, `ignored`, `dead` or `refused`: what would happen.")
    reason: str | None = None
    data: dict[str, Any]
    rule: str = Field(description="The rule of the document that made it.")

    @classmethod
    def of(cls, prepared: PreparedEvent, source: str) -> "TestedEvent":
        event = prepared.event
        return cls(
            type=event.type,
            id=event.id,
            source=event.source if event.source is not None else source,
            time=None if event.time_us is None else rfc3339(event.time_us),
            contact_id=prepared.contact,
            outcome=prepared.outcome,
            reason=prepared.reason,
            data=dict(event.data),
            rule=event.rule,
        )


class TestResult(BaseModel):
    """The events that a payload means. Nothing was sent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "verified": True,
                    "verification": "the header matches secret 1",
                    "is_test": False,
                    "events": [
                        {**_EVENT, "source": "stripe", "data": {"amount": "49.00"}, "rule": "paid"}
                    ],
                    "notes": [],
                }
            ]
        }
    )

    verified: bool
    verification: str = Field(description="Why it would be trusted or not.")
    handshake: str | None = Field(
        None, description="Set if the payload is a handshake, which is answered and means no event."
    )
    is_test: bool
    events: list[TestedEvent]
    notes: list[str] = Field(
        description="Why the payload, or something in it, means no event; parts of an event that "
        "lead nowhere in this payload; and the notes of the source."
    )

    @classmethod
    def of(cls, tested: TestedDelivery, source: str) -> "TestResult":
        handshake, prepared = tested.handshake, tested.prepared
        return cls(
            verified=tested.verification.verified,
            verification=tested.verification.reason,
            handshake=None if handshake is None else handshake.reason,
            is_test=prepared.is_test,
            events=[TestedEvent.of(each, source) for each in prepared.events]
            if handshake is None
            else [],
            notes=list(prepared.notes) if handshake is None else [],
        )


class DeliveryAccepted(BaseModel):
    """The response to a delivery that is authentic."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"accepted": 1, "reasons": []}]})

    accepted: int = Field(description="The events that are on the streams now.")
    reasons: list[str] = Field(
        description="Why other parts of the delivery mean no event; and payments and refunds whose "
        "`amount` leads nowhere in it."
    )
