"""Postgres: the durable state, the leases and the configuration."""

from goald.adapters.postgres.configurations import PostgresConfigurations
from goald.adapters.postgres.leases import PostgresStreamLeases
from goald.adapters.postgres.store import PostgresShardStore
from goald.adapters.postgres.tenants import TenantPool

__all__ = [
    "PostgresConfigurations",
    "PostgresShardStore",
    "PostgresStreamLeases",
    "TenantPool",
]
