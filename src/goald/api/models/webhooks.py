"""Requests and responses for webhooks: secrets and permissions of providers."""

from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    field_validator,
    model_validator,
)

from goald.api.auth import signatures
from goald.api.models.requests import Body
from goald.domain.configuration.criteria import require_printable
from goald.domain.credentials.webhooks import (
    DEFAULT_TYPES,
    MAX_GRANT_BYTES,
    MAX_SOURCES,
    MAX_TYPE_LENGTH,
    MAX_TYPES,
    EventGrant,
)
from goald.domain.event_types import nearest_type

_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 -- the specification's own example


TypeName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_TYPE_LENGTH),
    AfterValidator(require_printable),
]
SourceName = Annotated[
    str, StringConstraints(min_length=1, max_length=1024), AfterValidator(require_printable)
]
_TYPES_EXAMPLE: list[JsonValue] = ["payment.completed"]
_SOURCES_EXAMPLE: list[JsonValue] = ["/shop"]


class WebhookRequest(Body):
    """The secret to set, and the events that the provider may send. `types` and `sources` may have
    8 KiB together."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"types": _TYPES_EXAMPLE, "sources": _SOURCES_EXAMPLE}]}
    )

    secret: str | None = Field(
        None,
        max_length=100,
        description="`whsec_` and the base64 of 24 to 64 bytes. Default: a new random secret.",
    )

    types: list[TypeName] | None = Field(
        None,
        min_length=1,
        max_length=MAX_TYPES,
        description="The event types that the provider may send. Default: the five types that "
        f"goals listen to, {', '.join(DEFAULT_TYPES)}.",
    )
    sources: list[SourceName] | None = Field(
        None,
        min_length=1,
        max_length=MAX_SOURCES,
        description="The values of `source` that the provider may send. Default: any.",
    )

    @property
    def grant(self) -> EventGrant:
        return EventGrant(
            DEFAULT_TYPES if self.types is None else frozenset(self.types),
            None if self.sources is None else frozenset(self.sources),
        )

    @field_validator("types")
    @classmethod
    def _refuse_misspelt(cls, value: list[str] | None) -> list[str] | None:
        for event_type in value or ():
            nearest = nearest_type(event_type)
            if nearest is not None:
                raise ValueError(f"{event_type!a} has no effect. Did you mean {nearest}?")
        return value

    @model_validator(mode="after")
    def _validate_size(self) -> Self:
        if self.grant.size > MAX_GRANT_BYTES:
            raise ValueError(
                f"`types` and `sources` have {self.grant.size:,} bytes together, more than "
                f"{MAX_GRANT_BYTES:,}"
            )
        return self

    @field_validator("secret")
    @classmethod
    def _validate_secret(cls, value: str | None) -> str | None:
        if value is not None:
            signatures.parse_secret(value)
        return value


_TYPES = Field(description="The event types that the provider may send.")
_SOURCES = Field(description="The values of `source` that it may send; null is any.")


class WebhookSecret(BaseModel):
    """A webhook with its secret. The secret is returned only in this response."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "provider": "stripe",
                    "secret": _SECRET,
                    "types": _TYPES_EXAMPLE,
                    "sources": _SOURCES_EXAMPLE,
                }
            ]
        }
    )

    provider: str
    secret: str
    types: list[str] = _TYPES
    sources: list[str] | None = _SOURCES


class Webhook(BaseModel):
    """A webhook, without its secret."""

    provider: str
    created_at: str = Field(
        description="When the secret was set.", json_schema_extra={"format": "date-time"}
    )
    types: list[str] = _TYPES
    sources: list[str] | None = _SOURCES


class Webhooks(BaseModel):
    """All webhooks of a tenant, ordered by provider."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "provider": "stripe",
                            "created_at": "2026-01-31T09:00:00.000000Z",
                            "types": _TYPES_EXAMPLE,
                            "sources": None,
                        }
                    ]
                }
            ]
        }
    )

    items: list[Webhook]
