"""What `goald serve` stands on: services of its own, or those of the settings."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goald import migrations
from goald.migrations.roles import SHARD
from goald.runtime.actors.ray_cluster import RayCluster
from goald.runtime.daemon.console import ServeConsole
from goald.runtime.embedded import DataDirectory, EmbeddedServices
from goald.runtime.embedded.secret import token_secret
from goald.settings import Settings


@dataclass(frozen=True)
class ServiceEnvironment:
    """What the daemon stands on: services that take commands, and a Ray to run in."""

    settings: Settings
    cluster: RayCluster
    record: Callable[[str, int], None]
    """Told the role and id of each process started, so that the next run can end it."""
    log_dir: Path | None
    failed: Callable[[], list[str]]
    """The embedded services that have ended by themselves."""


@contextlib.contextmanager
def embedded_environment(settings: Settings, console: ServeConsole) -> Iterator[ServiceEnvironment]:
    """A Redis and a Postgres of its own, under the data directory. Raises StartError."""
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
            yield ServiceEnvironment(
                settings=settings.model_copy(update=own),
                cluster=RayCluster(data.short / "ray", settings.ray_address),
                record=data.record.add,
                log_dir=data.logs,
                failed=services.exited,
            )


@contextlib.contextmanager
def external_environment(settings: Settings, console: ServeConsole) -> Iterator[ServiceEnvironment]:
    """The services that the settings name. Raises SchemaMismatch where they are not migrated."""
    console.step("checking the schema")
    migrations.check(settings.postgres.dsn, SHARD)
    with tempfile.TemporaryDirectory(prefix="goald-", ignore_cleanup_errors=True) as short:
        yield ServiceEnvironment(
            settings=settings,
            cluster=RayCluster(Path(short) / "ray", settings.ray_address),
            record=lambda _role, _pid: None,
            log_dir=None,
            failed=list,
        )
