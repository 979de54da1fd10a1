"""The backends of the suites: in memory, and Valkey, Redis 6.2 or Postgres."""

from collections.abc import AsyncIterator

import pytest
from tests.contract.store_backends import MemoryTables, PostgresTables, Tables
from tests.contract.stream_backends import Backend, MemoryBackend, RedisBackend

from goald.adapters.memory.clock import ManualClock
from goald.ports.shard_store import ShardStore


@pytest.fixture(params=["memory", "valkey", "redis-6.2"])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    """One empty backend of the stream ports."""
    clock = ManualClock()
    created: Backend
    if request.param == "memory":
        created = MemoryBackend(clock)
    else:
        fixture = "redis_url" if request.param == "valkey" else "redis_62_url"
        url = request.getfixturevalue(fixture)
        created = RedisBackend(url, clock, counts=request.param == "valkey")
        await created.flush()
    yield created
    await created.close()


@pytest.fixture(params=["memory", "postgres"])
async def tables(request: pytest.FixtureRequest) -> AsyncIterator[Tables]:
    """Empty tables of the shard store."""
    backend: Tables
    if request.param == "memory":
        backend = MemoryTables()
    else:
        backend = PostgresTables(request.getfixturevalue("database"))
    yield backend
    await backend.close()


@pytest.fixture
def store(tables: Tables) -> ShardStore:
    """A shard store over these tables."""
    return tables.store()
