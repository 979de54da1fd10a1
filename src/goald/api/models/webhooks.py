"""Requests and responses for the secrets of webhooks."""

from pydantic import BaseModel, ConfigDict, Field, field_validator

from goald.api.auth import signatures
from goald.api.models.requests import Body

_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 -- the specification's own example


class SecretRequest(Body):
    """The secret to set."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    secret: str | None = Field(
        None,
        max_length=100,
        description="`whsec_` and the base64 of 24 to 64 bytes. Default: a new random secret.",
    )

    @field_validator("secret")
    @classmethod
    def _validate_secret(cls, value: str | None) -> str | None:
        if value is not None:
            signatures.parse_secret(value)
        return value


class WebhookSecret(BaseModel):
    """A webhook with its secret. The secret is returned only in this response."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"provider": "stripe", "secret": _SECRET}]}
    )

    provider: str
    secret: str


class Webhook(BaseModel):
    """A webhook, without its secret."""

    provider: str
    created_at: str = Field(
        description="When the secret was set.", json_schema_extra={"format": "date-time"}
    )


class Webhooks(BaseModel):
    """All webhooks of a tenant, ordered by provider."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"items": [{"provider": "stripe", "created_at": "2026-01-31T09:00:00.000000Z"}]}
            ]
        }
    )

    items: list[Webhook]
