"""Postgres: the durable state, the leases and the configuration."""

from goald.adapters.postgres.configuration.store import PostgresConfigurationStore
from goald.adapters.postgres.shard.leases import PostgresStreamLeases
from goald.adapters.postgres.shard.store import PostgresShardStore
from goald.adapters.postgres.tenants import TenantPool

__all__ = [
    "PostgresConfigurationStore",
    "PostgresShardStore",
    "PostgresStreamLeases",
    "TenantPool",
]
