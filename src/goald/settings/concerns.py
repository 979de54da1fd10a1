"""The settings of each concern, as constructors receive them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, SecretStr

from goald.settings.networks import Network

HOW_TO_CHECK_TOKENS = (
    "set GOALD_JWT_SECRET (32 characters or more), or GOALD_JWT_ALGORITHM=RS256 and GOALD_JWKS_URL"
)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RedisSettings(_Frozen):
    """The Redis or Valkey server with the streams."""

    url: str


class PostgresSettings(_Frozen):
    """The Postgres database with the tables: one login for each role, or one for all roles."""

    dsn: str
    owner_dsn: str
    api_dsn: str


class ReadSettings(_Frozen):
    """Limits of one read, and of the unacknowledged data of a consumer."""

    entries: int
    bytes: int
    in_flight_bytes: int
    pause: float
    """Seconds between two reads of a stream that is not behind, so that one read returns several
    entries."""


class DispatchSettings(_Frozen):
    """How a consumer dispatches to a shard: bytes of one call, and calls in flight."""

    bytes: int
    calls_in_flight: int


class TokenSettings(_Frozen):
    """How bearer tokens are verified: with a secret for HS256, otherwise with published keys."""

    algorithm: str
    issuer: str
    audience: str
    secret: SecretStr | None = None
    jwks_url: str | None = None


class ApiSettings(_Frozen):
    """The settings of the API. `tokens` is None if the settings do not say how to check them."""

    tokens: TokenSettings | None
    catalog: Literal["strict", "known", "off"]
    quota_requests: int
    quota_events: int
    quota_bytes: int
    stream_bytes: int
    webhook_window: float
    public_url: str
    """The base of the URLs that providers call, without a slash at its end; may be empty."""
    connections: int
    address_connections: int
    address_rejections: int
    proxies: tuple[Network, ...]
    """The networks of trusted proxies."""
