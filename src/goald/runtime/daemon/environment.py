"""The servers and the Ray that `goald serve` runs on: embedded, or named by the settings."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from goald import migrations
from goald.domain.connection_failure import explained
from goald.domain.errors import StartError
from goald.migrations.roles import SHARD
from goald.runtime.actors.ray_cluster import RayCluster
from goald.runtime.daemon.console import ServeConsole
from goald.runtime.embedded import DataDirectory, EmbeddedServices
from goald.runtime.embedded.secret import KEY_FILE, find_secrets_key, secrets_key, token_secret
from goald.runtime.wiring.daemon import check_redis
from goald.runtime.wiring.secrets import encrypt_secrets, missing_keys
from goald.settings import Settings


@dataclass(frozen=True)
class ServiceEnvironment:
    """Redis and Postgres that accept commands, and a Ray that is not started yet."""

    settings: Settings
    """With the addresses of the servers."""
    cluster: RayCluster
    record: Callable[[str, int], None]
    """Records the role and id of each process started, so that the next run can end it."""
    log_dir: Path | None
    ended_servers: Callable[[], list[str]]
    """Returns the embedded servers that have ended unexpectedly."""


@contextlib.contextmanager
def embedded_environment(settings: Settings, console: ServeConsole) -> Iterator[ServiceEnvironment]:
    """Starts Valkey and Postgres under the data directory, yields the environment, and stops both
    servers after the `with` block. Raises StartError."""
    with DataDirectory.open(settings.data_dir) as data:
        console.step(f"starting Valkey and Postgres under {data.path}")
        services = EmbeddedServices(data)
        with services as endpoints:
            console.step("migrating the schema")
            migrations.upgrade(endpoints.postgres_dsn)
            own: dict[str, Any] = {
                "redis_url": endpoints.redis_url,
                "postgres_dsn": endpoints.postgres_dsn,
                "postgres_owner_dsn": None,
                "postgres_api_dsn": None,
                "data_dir": data.path,
            }
            if settings.jwt_secret is None and settings.jwt_algorithm == "HS256":
                own["jwt_secret"] = token_secret(data.path)
            own["secrets_keys"] = _keys(settings, data.path, endpoints.postgres_dsn)
            own_settings = settings.model_copy(update=own)
            encrypt_secrets(own_settings)
            yield ServiceEnvironment(
                settings=own_settings,
                cluster=RayCluster(data.short / "ray", settings.ray_address),
                record=data.record.add,
                log_dir=data.logs,
                ended_servers=services.exited,
            )


def _keys(settings: Settings, data_dir: Path, dsn: str) -> tuple[SecretStr, ...]:
    """The keys of the settings, then that of the data directory, which is generated if there is no
    key. Raises StartError if there is none and secrets are encrypted: a new key cannot decrypt
    them."""
    found = find_secrets_key(data_dir)
    if settings.secrets_keys or found is not None:
        return (*(settings.secrets_keys or ()), *(() if found is None else (found,)))
    missing = missing_keys(settings, dsn)
    if missing:
        raise StartError(
            f"Webhook secrets in Postgres are encrypted under the key {', '.join(missing)}, but "
            f"GOALD_SECRETS_KEYS is not set, and {data_dir} has no "
            f"{KEY_FILE}. Set GOALD_SECRETS_KEYS as at the previous start, or put {KEY_FILE} back. "
            "If the key is lost, set GOALD_SECRETS_KEYS to a new key, start goald, and replace "
            "the secrets that `goald secrets rotate` lists."
        )
    return (secrets_key(data_dir),)


@contextlib.contextmanager
def external_environment(settings: Settings, console: ServeConsole) -> Iterator[ServiceEnvironment]:
    """Checks the servers that the settings name, and yields the environment. Raises
    ServiceUnavailable if one cannot be reached, SettingsError if one rejects the login,
    SchemaMismatch if the schema is not migrated."""
    console.step("connecting to Redis and Postgres")
    redis_url, dsn = settings.redis.url, settings.postgres.dsn
    with explained("Redis", redis_url, "GOALD_REDIS_URL"):
        check_redis(redis_url)
    with explained("Postgres", dsn, "GOALD_POSTGRES_DSN"):
        migrations.check(dsn, SHARD)
    with tempfile.TemporaryDirectory(prefix="goald-", ignore_cleanup_errors=True) as short:
        yield ServiceEnvironment(
            settings=settings,
            cluster=RayCluster(Path(short) / "ray", settings.ray_address),
            record=lambda _role, _pid: None,
            log_dir=None,
            ended_servers=list,
        )
