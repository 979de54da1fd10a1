"""The Redis and Postgres that a command uses, and the error if one cannot be used."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from goald.domain.connection_failure import explained

if TYPE_CHECKING:
    from goald.runtime.instance import Instance
    from goald.settings import Settings


@contextmanager
def redis_url() -> Iterator[str]:
    """Context manager that yields the URL of the Redis that the settings name. See `reach` for
    errors in the `with` block."""
    from goald.runtime.instance import find
    from goald.settings import load_settings

    instance = find(load_settings())
    with reach(instance):
        yield instance.redis_url


@contextmanager
def reach(instance: "Instance") -> Iterator[None]:
    """Context manager for code that uses the Redis of `instance`; see `explained` for errors in
    the `with` block."""
    advice = _advice(instance.data_dir)
    with explained("Redis", instance.redis_url, "GOALD_REDIS_URL", advice):
        yield


@contextmanager
def owner_dsn(settings: "Settings") -> Iterator[str]:
    """Context manager that yields the Postgres DSN of the role goald_owner; see `explained` for
    errors in the `with` block."""
    owner, daemon = settings.postgres_owner_dsn, settings.postgres_dsn
    if owner is None and daemon is not None:
        owner = daemon
        setting = "GOALD_POSTGRES_DSN"
    else:
        setting = "GOALD_POSTGRES_OWNER_DSN"
    with _postgres(settings, owner, setting) as dsn:
        yield dsn


@contextmanager
def api_dsn(settings: "Settings") -> Iterator[str]:
    """Context manager that yields the Postgres DSN of the role goald_api; see `explained` for
    errors in the `with` block."""
    with _postgres(settings, settings.postgres_api_dsn, "GOALD_POSTGRES_API_DSN") as dsn:
        yield dsn


@contextmanager
def _postgres(settings: "Settings", dsn: str | None, setting: str) -> Iterator[str]:
    """Yields this DSN, or without one the DSN of the goald that the settings name."""
    data_dir = None
    if dsn is None:
        from goald.runtime.instance import find

        instance = find(settings)
        dsn, data_dir, setting = instance.postgres_dsn, instance.data_dir, "GOALD_POSTGRES_DSN"
    with explained("Postgres", dsn, setting, _advice(data_dir)):
        yield dsn


def _advice(data_dir: str | None) -> str | None:
    """The advice if the server of an embedded goald cannot be reached."""
    if data_dir is None:
        return None
    return f"It belongs to the goald in {data_dir}. Check that this goald is still running."
