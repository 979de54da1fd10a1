"""Settings: read once, at the edge, from `GOALD_*` variables and `goald.toml`, into frozen
classes, one a concern, that are handed down by constructor.

A variable wins over the file. A wrong or unknown one raises SettingsError, naming it,
before anything is started.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from goald.domain.errors import SettingsError
from goald.domain.slots import SLOTS

FILE = "goald.toml"
PREFIX = "GOALD_"
NOT_SETTINGS = {"GOALD_CONFIG", "GOALD_TEST_DATA"}
"""Variables with the prefix that are read elsewhere: the path of the file; the tests' data."""

Url = Annotated[str, Field(min_length=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RedisSettings(_Frozen):
    """Where the streams are."""

    url: str


class PostgresSettings(_Frozen):
    """Where the tables are: one login for each role, or one for all three (3.3)."""

    dsn: str
    owner_dsn: str
    api_dsn: str


class ReadSettings(_Frozen):
    """How much a consumer takes at once, and how much it may hold unacknowledged."""

    entries: int
    bytes: int
    in_flight_bytes: int
    pause: float
    """Seconds between two reads of a stream that is not behind: what comes meanwhile is read
    together."""


class DispatchSettings(_Frozen):
    """How a consumer hands batches to a shard: bytes in one call, calls under way."""

    bytes: int
    calls_in_flight: int


class TokenSettings(_Frozen):
    """How bearer tokens are signed (3.4): a secret for HS256, else where the keys are."""

    algorithm: str
    issuer: str
    audience: str
    secret: SecretStr | None = None
    jwks_url: str | None = None


class ApiSettings(_Frozen):
    """What the API is told. `tokens` is None where no way to check them is set."""

    tokens: TokenSettings | None
    catalog: Literal["strict", "known", "off"]
    quota_requests: int
    quota_events: int
    webhook_window: float
    connections: int


class Settings(BaseSettings):
    """Every setting, as `GOALD_<NAME>` or `<name> = …` in goald.toml."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    redis_url: Url | None = Field(None, description="Redis or Valkey: redis://… or unix://…")
    postgres_dsn: Url | None = Field(None, description="Postgres, for the daemon")
    postgres_owner_dsn: Url | None = Field(
        None, description="for `goald migrate`, else postgres_dsn"
    )
    postgres_api_dsn: Url | None = Field(
        None, description="for the configuration, else postgres_dsn"
    )
    data_dir: Path = Field(Path(".goald"), description="where --embedded keeps everything")
    streams: int | None = Field(
        None,
        ge=1,
        le=SLOTS,
        description="how many goald:events:{p} there are; else as Redis has it",
    )
    shards: int = Field(2, ge=1, le=SLOTS, description="shard actors")
    consumers: int = Field(1, ge=1, le=SLOTS, description="consumer actors")
    ray_address: str | None = Field(None, description="a Ray cluster to join; else one of its own")
    clock_skew: float = Field(
        0.0, ge=0, le=86_400, description="seconds that an event may be older than its enrollment"
    )
    early_events: float = Field(
        0.0, ge=0, le=60, description="seconds that an event may wait for its enrollment; 0: off"
    )
    exit_retry: float | None = Field(
        None, ge=1, description="seconds until an exit that nobody acknowledged comes again"
    )
    republish: float = Field(600.0, ge=0, description="seconds that published messages are kept")
    keep: float = Field(
        3_600.0, ge=0, description="seconds that what every group has acknowledged stays in streams"
    )
    dead_bytes: int = Field(
        256 << 20, ge=1 << 20, description="bytes that goald:dead may take, about"
    )
    metrics_host: str = Field("127.0.0.1", description="where /metrics listens")
    metrics_port: int | None = Field(
        None, ge=0, le=65_535, description="9464 where unset, with --embedded any free one; 0: any"
    )
    read_entries: int = Field(2_000, ge=1, le=100_000, description="entries in one read")
    read_bytes: int = Field(2 << 20, ge=1 << 16, description="bytes in one read, about")
    read_pause: float = Field(
        0.002, ge=0, le=1, description="seconds between reads of a stream that is not behind"
    )
    in_flight_bytes: int = Field(
        8 << 20, ge=1 << 16, description="bytes a stream holds unacknowledged"
    )
    dispatch_bytes: int = Field(
        2_000_000, ge=1_000, le=8 << 20, description="bytes in one call to a shard"
    )
    dispatch_calls: int = Field(2, ge=1, le=64, description="calls under way to a shard")
    api_host: str = Field("127.0.0.1", description="where the API listens")
    api_port: int | None = Field(
        None, ge=0, le=65_535, description="8080 where unset, with --embedded any free one; 0: any"
    )
    api_connections: int = Field(8, ge=1, le=100, description="to Postgres, of one API process")
    jwt_algorithm: Literal["HS256", "RS256", "ES256"] = Field(
        "HS256", description="the one algorithm that tokens may be signed with"
    )
    jwt_secret: SecretStr | None = Field(
        None, min_length=32, description="for HS256; --embedded makes its own"
    )
    jwks_url: Url | None = Field(None, description="where RS256 or ES256 keys are published")
    jwt_issuer: str = Field("goald", min_length=1, description="the `iss` of every token")
    jwt_audience: str = Field("goald", min_length=1, description="the `aud` of every token")
    catalog: Literal["strict", "known", "off"] = Field(
        "known", description="what goals may refer to: known checks kinds that have entities"
    )
    quota_requests: int = Field(
        1_000, ge=0, description="requests a second of one tenant; 0: no limit"
    )
    quota_events: int = Field(
        20_000,
        ge=0,
        description="events a second of one tenant over HTTP, of 1 KiB each; 0: no limit",
    )
    webhook_window: float = Field(
        300.0, ge=1, le=86_400, description="seconds that a webhook's signature is good for"
    )
    retention: int = Field(
        731, ge=31, description="days that achievements and the audit log are kept"
    )
    log_level: str = Field(
        "info", pattern="^(debug|info|warning|error)$", description="the least that is logged"
    )
    log_format: str = Field(
        "auto", pattern="^(auto|text|json)$", description="auto: json unless a terminal"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given wins over variables, and they over the file."""
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
    def tokens(self) -> TokenSettings | None:
        """None where neither a secret nor a JWKS URL that fits the algorithm is set."""
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
            webhook_window=self.webhook_window,
            connections=self.api_connections,
        )

    def _required(self, name: str) -> str:
        value: str | None = getattr(self, name)
        if value is None:
            raise SettingsError(
                f"{PREFIX}{name.upper()} is not set: set it, or use `goald serve --embedded`, "
                "which starts a Redis and a Postgres of its own"
            )
        return value


def load_settings(**given: Any) -> Settings:
    """Read the settings; `given` (a command's options, None for absent ones) win.

    Raises SettingsError naming every field that is wrong or unknown. Reads the environment
    and at most one file; no other I/O.
    """
    _refuse_unknown(os.environ)
    config = os.environ.get("GOALD_CONFIG")
    if config is not None and not Path(config).is_file():
        raise SettingsError(f"GOALD_CONFIG: there is no file {config}")
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        wrong = "; ".join(
            f"{PREFIX}{'_'.join(str(part) for part in item['loc']).upper()}: {_plain(item)}"
            for item in error.errors()
        )
        raise SettingsError(f"wrong settings: {wrong}") from None
    except ValueError as error:
        raise SettingsError(f"{config or FILE} cannot be read: {error}") from None


def _plain(fault: ErrorDetails) -> str:
    """Pydantic's message, where that is one for whoever sets up goald."""
    if fault["type"] == "too_short":
        return f"must have at least {fault['ctx']['min_length']} characters"
    if fault["type"] == "extra_forbidden":
        return "there is no such setting"
    return fault["msg"]


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields} | NOT_SETTINGS
    unknown = sorted(
        name
        for name in environment
        if name.upper().startswith(PREFIX) and name.upper() not in known
    )
    if unknown:
        raise SettingsError(f"unknown settings: {', '.join(unknown)}")
