"""Requests and responses for contacts."""

from decimal import Decimal
from math import isfinite
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.config import JsonDict

from goald.api.models.requests import ChangeRequest
from goald.domain.contacts.addresses import MAX_EMAIL, MAX_PHONE, email_address, phone_number
from goald.domain.contacts.projection import MAX_ATTRIBUTE_BYTES
from goald.domain.contacts.reading import MAX_NAME_CHARS, MAX_VALUE_BYTES, json_bytes
from goald.domain.contacts.record import ContactRecord
from goald.domain.contacts.zones import not_a_zone, zone_names
from goald.domain.times import rfc3339

MAX_INTEGER: Final = 2**53
MAX_ATTRIBUTES: Final = 64
"""As many keys as an object in a body may have."""

_GIVEN: JsonDict = {
    "email": "Ada@example.com",
    "phone": "0170 1234567",
    "region": "DE",
    "timezone": "Europe/Berlin",
    "opted_in": True,
    "attributes": {"first_name": "Ada", "plan": "pro"},
}
_CONTACT: JsonDict = {
    "contact_id": "contact-1",
    "email": "Ada@example.com",
    "phone": "+491701234567",
    "timezone": "Europe/Berlin",
    "opted_in": True,
    "attributes": {"first_name": "Ada", "plan": "pro"},
    "tags": [{"id": None, "name": "Customer"}],
    "stages": [{"pipeline_id": "sales", "stage_id": "won"}],
    "updated_at": "2026-01-31T09:00:00.250000Z",
}


def _limited(value: dict[str, Any]) -> dict[str, Any]:
    value = {name: _plain(each) for name, each in value.items()}
    for name, each in value.items():
        if not 0 < len(name) <= MAX_NAME_CHARS or not name.isprintable():
            raise ValueError(f"a name must have 1 to {MAX_NAME_CHARS} printable characters")
        if json_bytes(each) > MAX_VALUE_BYTES:
            raise ValueError(f"a value must have at most {MAX_VALUE_BYTES} bytes as JSON")
    if json_bytes(value) > MAX_ATTRIBUTE_BYTES:
        raise ValueError(f"must have at most {MAX_ATTRIBUTE_BYTES} bytes as JSON")
    return value


def _plain(value: Any) -> Any:
    """The value with its numbers as Postgres and other readers of JSON keep them."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        if isinstance(value, int) and abs(value) <= MAX_INTEGER:
            return value
        number = float(value)
        if not isfinite(number) or isinstance(value, int):
            raise ValueError("a number is too large")
        return number
    return value


Attributes = Annotated[dict[str, Any], AfterValidator(_limited)]
"""Attributes in a request, within their limits."""


class ContactChange(ChangeRequest):
    """The values to record. Null removes a value."""

    model_config = ConfigDict(json_schema_extra={"examples": [_GIVEN]})

    email: str | None = Field(None, max_length=MAX_EMAIL, description="An e-mail address.")
    phone: str | None = Field(
        None,
        max_length=MAX_PHONE,
        description="A phone number: with its country code, or with `region`. Stored in E.164.",
    )
    region: str | None = Field(
        None,
        pattern="^[A-Z]{2}$",
        description="The country (ISO 3166) of a phone number without a country code. Not stored.",
    )
    timezone: str | None = Field(
        None, max_length=64, description="A time zone of the IANA database, such as Europe/Berlin."
    )
    opted_in: bool | None = Field(None, description="Whether the contact accepts messages.")
    attributes: Attributes = Field(
        default_factory=dict,
        max_length=MAX_ATTRIBUTES,
        description="Values by name, at most 8 KiB and 100 of them together, and 2 KiB each.",
    )

    @field_validator("email")
    @classmethod
    def _require_email(cls, value: str | None) -> str | None:
        if value is not None and email_address(value) is None:
            raise ValueError("must be an e-mail address")
        return value

    @field_validator("timezone")
    @classmethod
    def _require_timezone(cls, value: str | None) -> str | None:
        if value is not None and value not in zone_names():
            raise ValueError(not_a_zone(value))
        return value

    @model_validator(mode="after")
    def _require_phone(self) -> "ContactChange":
        if self.phone is not None and phone_number(self.phone, self.region) is None:
            raise ValueError(
                "phone must be a phone number with its country code, such as +49 170 1234567, or "
                "have a region, such as DE"
            )
        return self


class TagAnswer(BaseModel):
    """A tag of a contact, by its id, its name or both."""

    model_config = ConfigDict(title="Tag")

    id: str | None
    name: str | None


class StageAnswer(BaseModel):
    """The stage of a contact in a pipeline."""

    model_config = ConfigDict(title="Stage")

    pipeline_id: str | None = Field(description="Null if the event did not name the pipeline.")
    stage_id: str


class ContactAnswer(BaseModel):
    """A contact, as its events describe it."""

    model_config = ConfigDict(title="Contact", json_schema_extra={"examples": [_CONTACT]})

    contact_id: str = Field(description="The platform's id of the contact, unchanged.")
    email: str | None
    phone: str | None = Field(description="In E.164.")
    timezone: str | None
    opted_in: bool | None
    attributes: dict[str, Any]
    tags: list[TagAnswer]
    stages: list[StageAnswer]
    updated_at: str = Field(
        description="When goald last wrote the contact.", json_schema_extra={"format": "date-time"}
    )

    @classmethod
    def of(cls, row: ContactRecord) -> "ContactAnswer":
        return cls(
            contact_id=row.contact_id,
            email=row.email,
            phone=row.phone,
            timezone=row.timezone,
            opted_in=row.opted_in,
            attributes=dict(row.attributes),
            tags=[TagAnswer(id=tag.id, name=tag.name) for tag in row.tags],
            stages=[
                StageAnswer(pipeline_id=pipeline or None, stage_id=stage)
                for pipeline, stage in row.stages.items()
            ],
            updated_at=rfc3339(row.updated_at),
        )


class ContactPage(BaseModel):
    """Contacts, ordered by id."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [_CONTACT], "next_cursor": None}]}
    )

    items: list[ContactAnswer]
    next_cursor: str | None = Field(
        description="The `cursor` of the next page; null on the last page."
    )
