"""The configuration service, for the commands that change what a tenant has configured."""

import getpass
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from goald.configuration.service import ConfigurationService
    from goald.settings import Settings


@asynccontextmanager
async def open_configuration(
    settings: "Settings", dsn: str, redis_url: str | None
) -> "AsyncIterator[ConfigurationService]":
    """Yields the service over this Postgres, and closes it. `redis_url`: see `notified_redis`."""
    from goald.runtime.wiring.daemon import configuration_service

    service = configuration_service(
        dsn, redis_url, catalog=settings.catalog, max_workflows=settings.max_workflows
    )
    try:
        yield service
    finally:
        await service.close()


def notified_redis(settings: "Settings") -> str | None:
    """Return the URL of the Redis that notifies the shards of a change. None if only
    GOALD_POSTGRES_API_DSN is set; the shards then find the change within a second."""
    if settings.postgres_api_dsn is not None:
        return settings.redis_url
    from goald.runtime.instance import find

    return find(settings).redis_url


def actor() -> str:
    """Return the user of this machine, for the audit log."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):  # The user of a container may have no name.
        return f"cli:{os.getuid()}"
