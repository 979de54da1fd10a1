"""Webhooks' secrets as they go in and out."""

from pydantic import BaseModel, ConfigDict, Field, field_validator

from goald.api.auth import signatures
from goald.api.models.body import Body

_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 -- the specification's own example


class WantedSecret(Body):
    """A secret that a provider has made."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    secret: str | None = Field(
        None,
        max_length=100,
        description="`whsec_` and the base64 of 24 to 64 bytes; goald makes one if absent",
    )

    @field_validator("secret")
    @classmethod
    def _parsed(cls, value: str | None) -> str | None:
        if value is not None:
            signatures.parse_secret(value)
        return value


class WebhookSecret(BaseModel):
    """A webhook with its secret: shown this once."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"provider": "stripe", "secret": _SECRET}]}
    )

    provider: str
    secret: str


class Webhook(BaseModel):
    """A webhook, without its secret."""

    provider: str
    created_at: str = Field(description="when its secret was set, RFC 3339 in UTC")


class Webhooks(BaseModel):
    """All webhooks of a tenant, by provider."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"items": [{"provider": "stripe", "created_at": "2026-01-31T09:00:00.000000Z"}]}
            ]
        }
    )

    items: list[Webhook]
