"""Every setting with its type, its default and its description."""

import math
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from goald.domain.credentials.weakness import weakness_of
from goald.domain.errors import SettingsError
from goald.domain.slots import SLOTS
from goald.settings.addresses import JwksUrl, PostgresUrl, PublicUrl, RayAddress, RedisUrl
from goald.settings.concerns import (
    ApiSettings,
    DispatchSettings,
    PostgresSettings,
    ReadSettings,
    RedisSettings,
    TokenSettings,
)
from goald.settings.executions import ExecutionVariables
from goald.settings.networks import networks

FILE = "goald.toml"
PREFIX = "GOALD_"


def _split(value: Any) -> Any:
    """Variables hold a list as text with commas."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


SecretKeys = Annotated[
    tuple[Annotated[SecretStr, Field(min_length=1)], ...] | None, NoDecode, BeforeValidator(_split)
]


_DAY_SECONDS = 86_400


class Settings(ExecutionVariables):
    """Every setting, as `GOALD_<NAME>` in the environment or `<name> = …` in goald.toml."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    redis_url: RedisUrl | None = Field(
        None, description="URL of Redis or Valkey: redis://…, rediss://… or unix://…"
    )
    postgres_dsn: PostgresUrl | None = Field(
        None, description="URL of Postgres, with the login of the daemon: postgresql://…"
    )
    postgres_owner_dsn: PostgresUrl | None = Field(
        None, description="Postgres login of `goald migrate`. Default: GOALD_POSTGRES_DSN"
    )
    postgres_api_dsn: PostgresUrl | None = Field(
        None, description="Postgres login of the API and of `apply`. Default: GOALD_POSTGRES_DSN"
    )
    data_dir: Path = Field(Path(".goald"), description="Directory of the data of --embedded")
    streams: int | None = Field(
        None,
        ge=1,
        le=SLOTS,
        description="Number of event streams. Default: the number stored in Redis, 4 at first",
    )
    shards: int = Field(2, ge=1, le=SLOTS, description="Number of shards")
    consumers: int = Field(
        1, ge=1, le=SLOTS, description="Number of consumers, at most one for each stream"
    )
    workers: int = Field(
        1,
        ge=0,
        le=64,
        description="Number of workers of `goald serve`, a process each, which perform the actions "
        "of workflows. 0: only `goald worker` and the workers of applications perform them",
    )
    worker_concurrency: int = Field(
        500, ge=1, le=10_000, description="Most actions that a worker performs at the same time"
    )
    webhook_allow_private: bool = Field(
        False,
        description="Whether the webhooks of workflows may call private and loopback addresses. "
        "goald's own servers are refused always",
    )
    ray_address: RayAddress | None = Field(
        None, description="Address of a Ray cluster to join. Default: start a private Ray"
    )
    clock_skew: float = Field(
        0.0,
        ge=0,
        le=86_400,
        description="How much older than its enrollment an event may be (seconds)",
    )
    early_events: float = Field(
        0.0,
        ge=0,
        le=60,
        description="How long an event waits for its enrollment (seconds). 0 turns it off",
    )
    late: float = Field(
        3_600.0,
        ge=0,
        le=31_536_000,
        description="How long after the end of an enrollment an event may still meet its goals "
        "without a `conversion_window` (seconds). 0 turns it off. The API needs the same value",
    )
    missed_bytes: int = Field(
        1 << 30,
        ge=1 << 20,
        description="Most bytes of the events that the paused workflows of a tenant missed. Beyond "
        "that, no further ones are kept",
    )
    max_enrollments_per_contact: int = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="Most active enrollments of one contact. Further ones are dead-lettered, or "
        "refused by the API, which needs the same value",
    )
    exit_retry: float | None = Field(
        None,
        ge=1,
        description="When an unacknowledged exit is published again (seconds). Default: never",
    )
    refund_reopens: bool = Field(
        False,
        description="Whether the refund of a payment that completed an enrollment is published on "
        "goald:notices, so that the workflow can continue",
    )
    republish: float = Field(
        600.0,
        ge=0,
        description="How long published messages are kept for republishing after a loss of data "
        "(seconds)",
    )
    keep: float = Field(
        3_600.0,
        ge=0,
        description="How long fully acknowledged entries are kept in the streams (seconds). If "
        "three quarters of GOALD_ERASURE are less, goald keeps them for that time",
    )
    erasure: float = Field(
        86_400.0,
        ge=60,
        description="Time after contact.deleted by which all personal data is removed (seconds)",
    )
    dead_bytes: int = Field(
        256 << 20,
        ge=1 << 20,
        description="Approximate size limit of goald:dead, shared by the tenants (bytes)",
    )
    stream_bytes: int = Field(
        1 << 30,
        ge=1 << 20,
        description="Approximate size limit of each event stream, of goald:exits and of "
        "goald:notices (bytes)",
    )
    metrics_host: str = Field("127.0.0.1", description="Address on which /metrics listens")
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65_535,
        description="Port of /metrics. Default: 9464, with --embedded any free port. "
        "0 is any free port",
    )
    read_entries: int = Field(
        2_000, ge=1, le=100_000, description="Most entries in one read of a stream"
    )
    read_bytes: int = Field(
        2 << 20, ge=1 << 16, description="Approximate size limit of one read of a stream (bytes)"
    )
    read_pause: float = Field(
        0.002,
        ge=0,
        le=1,
        description="Pause between two reads of a stream that is not behind (seconds)",
    )
    in_flight_bytes: int = Field(
        8 << 20,
        ge=1 << 16,
        description="Most unacknowledged bytes of one stream; reading pauses above it",
    )
    dispatch_bytes: int = Field(
        2_000_000, ge=1_000, le=8 << 20, description="Size limit of one call to a shard (bytes)"
    )
    dispatch_calls: int = Field(
        2, ge=1, le=64, description="Most calls in flight from a consumer to a shard"
    )
    api_host: str = Field("127.0.0.1", description="Address on which the API listens")
    api_port: int | None = Field(
        None,
        ge=0,
        le=65_535,
        description="Port of the API. Default: 8080, with --embedded any free port. "
        "0 is any free port",
    )
    api_connections: int = Field(
        8, ge=1, le=100, description="Most Postgres connections of one API process"
    )
    api_address_connections: int = Field(
        512,
        ge=1,
        description="Most concurrent connections to the API from one address (IPv6: one /64 "
        "network). Does not apply to GOALD_API_PROXIES",
    )
    api_address_rejections: int = Field(
        50,
        ge=0,
        description="Requests per second from one address that may fail to authenticate. The "
        "responses to further ones are delayed by 1 s, and by more while many are delayed. "
        "0 is unlimited",
    )
    api_proxies: str = Field(
        "",
        description="Addresses and networks of trusted proxies, separated by commas. Requests "
        "from them count for the last address in X-Forwarded-For that is not a proxy. Default: "
        "none, and the header is ignored",
    )
    public_url: PublicUrl = Field(
        "",
        description="URL at which providers reach the API, such as https://goald.example.com: the "
        "beginning of the URLs of sources, and part of what HubSpot signs. Default: none, and the "
        "API returns paths",
    )
    jwt_algorithm: Literal["HS256", "RS256", "ES256"] = Field(
        "HS256", description="Algorithm with which tokens must be signed"
    )
    jwt_secret: SecretStr | None = Field(
        None,
        min_length=32,
        description="Secret for HS256: random, at least 32 characters, such as the output of "
        "`openssl rand -base64 32`. --embedded generates one",
    )
    secrets_keys: SecretKeys = Field(
        None,
        description="Keys that encrypt the secrets of webhooks in Postgres and the payloads of "
        "actions in Redis, and from which the secrets of outgoing webhooks are derived: each 32 "
        "random bytes in base64, or the path of a file with them, separated by commas. The first "
        "encrypts, all decrypt and sign. --embedded generates one",
    )
    jwks_url: JwksUrl | None = Field(
        None, description="URL of the public keys (JWKS) for RS256 and ES256"
    )
    jwt_issuer: str = Field("goald", min_length=1, description="Required issuer (iss) of tokens")
    jwt_audience: str = Field(
        "goald", min_length=1, description="Required audience (aud) of tokens"
    )
    catalog: Literal["strict", "known", "off"] = Field(
        "known",
        description="How goal references (tags, forms, products, ...) are validated against the "
        "tenant's catalog. `strict`: each must exist. `known`: each must exist if the catalog has "
        "entries of its kind. `off`: no validation",
    )
    max_workflows: int = Field(
        10_000,
        ge=1,
        description="How many workflows a tenant may have, each with up to 3 goals, and ten times "
        "as many with those that were deleted in the last GOALD_RETENTION days",
    )
    quota_requests: int = Field(
        1_000, ge=0, description="API requests per second and tenant. 0 is unlimited"
    )
    quota_events: int = Field(
        20_000,
        ge=0,
        description="Events over HTTP per second and tenant. Large events and `contact.deleted` "
        "count as several. 0 is unlimited",
    )
    quota_bytes: int = Field(
        8 << 20,
        ge=0,
        description="Bytes of events over HTTP per second and tenant. 0 is unlimited",
    )
    webhook_window: float = Field(
        300.0,
        ge=1,
        le=86_400,
        description="How far the timestamp of a webhook signature may be from now (seconds)",
    )
    retention: int = Field(
        731, ge=31, description="How long achievements and the audit log are kept (days)"
    )
    used_keep: int = Field(
        90,
        ge=1,
        description="How long goald remembers that an event counted for a contact in a "
        "workflow, so that it does not count for a later enrollment (days). 366 in a tenant with a "
        "longer `conversion_window`",
    )
    log_level: str = Field(
        "info",
        pattern="^(debug|info|warning|error)$",
        description="Lowest level that is logged: debug, info, warning or error",
    )
    log_format: str = Field(
        "auto",
        pattern="^(auto|text|json)$",
        description="Format of the logs: text, json, or auto, which is text on a terminal",
    )

    @field_validator("jwt_secret")
    @classmethod
    def _check_secret(cls, value: SecretStr | None) -> SecretStr | None:
        weakness = None if value is None else weakness_of(value.get_secret_value().encode())
        if weakness is not None:
            raise PydanticCustomError(
                "weak_secret",
                "the secret is not random: {weakness}. Use the output of "
                "`openssl rand -base64 32`, for example",
                {"weakness": weakness},
            )
        return value

    @field_validator("api_proxies")
    @classmethod
    def _check_networks(cls, value: str) -> str:
        networks(value)
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments take precedence over variables, and variables over the file."""
        file = TomlConfigSettingsSource(settings_cls, os.environ.get("GOALD_CONFIG", FILE))
        return init_settings, env_settings, file

    @property
    def redis(self) -> RedisSettings:
        return RedisSettings(url=self._required("redis_url"))

    @property
    def postgres(self) -> PostgresSettings:
        dsn = self._required("postgres_dsn")
        return PostgresSettings(
            dsn=dsn,
            owner_dsn=self.postgres_owner_dsn or dsn,
            api_dsn=self.postgres_api_dsn or dsn,
        )

    @property
    def read(self) -> ReadSettings:
        return ReadSettings(
            entries=self.read_entries,
            bytes=self.read_bytes,
            in_flight_bytes=self.in_flight_bytes,
            pause=self.read_pause,
        )

    @property
    def dispatch(self) -> DispatchSettings:
        return DispatchSettings(bytes=self.dispatch_bytes, calls_in_flight=self.dispatch_calls)

    @property
    def used_keep_days(self) -> int:
        """For how long used events are kept at least: while an ended enrollment is watched."""
        return max(self.used_keep, math.ceil(self.late / _DAY_SECONDS) + 1)

    @property
    def tokens(self) -> TokenSettings | None:
        """None if the secret or the JWKS URL that the algorithm needs is not set."""
        has_key = self.jwt_secret if self.jwt_algorithm == "HS256" else self.jwks_url
        if not has_key:
            return None
        return TokenSettings(
            algorithm=self.jwt_algorithm,
            issuer=self.jwt_issuer,
            audience=self.jwt_audience,
            secret=self.jwt_secret if self.jwt_algorithm == "HS256" else None,
            jwks_url=self.jwks_url if self.jwt_algorithm != "HS256" else None,
        )

    @property
    def api(self) -> ApiSettings:
        return ApiSettings(
            tokens=self.tokens,
            catalog=self.catalog,
            quota_requests=self.quota_requests,
            quota_events=self.quota_events,
            quota_bytes=self.quota_bytes,
            stream_bytes=self.stream_bytes,
            webhook_window=self.webhook_window,
            public_url=self.public_url,
            connections=self.api_connections,
            address_connections=self.api_address_connections,
            address_rejections=self.api_address_rejections,
            proxies=networks(self.api_proxies),
        )

    def _required(self, name: str) -> str:
        value: str | None = getattr(self, name)
        if value is None:
            raise SettingsError(
                f"{PREFIX}{name.upper()} is not set. Set it, or use `goald serve --embedded`, "
                "which starts its own Redis and Postgres."
            )
        return value
