"""Runs a suite against the adapters in memory, over Valkey and over Redis 6.2."""

from collections.abc import AsyncIterator

import pytest
from tests.contract.stream_backends import Backend, MemoryBackend, RedisBackend

from goald.adapters.memory.clock import ManualClock


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
