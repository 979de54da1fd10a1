"""Empty backends of gates and jobs: in memory, and on Valkey and Redis 6.2."""

from collections.abc import AsyncIterator

import pytest
from tests.contract.actions.backends import ActionBackend, MemoryActionBackend, RedisActionBackend


@pytest.fixture(params=["memory", "valkey", "redis-6.2"])
async def actions(request: pytest.FixtureRequest) -> AsyncIterator[ActionBackend]:
    backend: ActionBackend
    if request.param == "memory":
        backend = MemoryActionBackend()
    else:
        fixture = "redis_url" if request.param == "valkey" else "redis_62_url"
        backend = RedisActionBackend(request.getfixturevalue(fixture))
        await backend.flush()
    yield backend
    await backend.close()
