"""Postgres: the durable state, the leases and the configuration."""

from goald.adapters.postgres.configuration.store import PostgresConfigurations
from goald.adapters.postgres.shard.leases import PostgresStreamLeases
from goald.adapters.postgres.shard.store import PostgresShardStore
from goald.adapters.postgres.tenants import TenantPool

__all__ = [
    "PostgresConfigurations",
    "PostgresShardStore",
    "PostgresStreamLeases",
    "TenantPool",
]
