"""Whether the API's services take requests: asked at most once a second, whoever asks."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from redis.exceptions import RedisError

from goald.adapters.postgres.tenants import TenantPool
from goald.adapters.redis.connect import connect, service_errors
from goald.domain.errors import GoaldError
from goald.ports.clock import Clock

KEPT_SECONDS = 1.0
PATIENCE_SECONDS = 2.0

_log = structlog.stdlib.get_logger(__name__)


class ServicesHealth:
    """`api.ports.Health` over Redis and Postgres. Bound to the event loop that uses it first."""

    def __init__(
        self,
        pool: TenantPool,
        redis_url: str,
        clock: Clock,
        more: Callable[[], list[str]] = list,
    ) -> None:
        """`more`: further reasons; asked each time, must not block. Does not connect."""
        self._pool = pool
        self._redis = connect(redis_url)
        self._clock = clock
        self._more = more
        self._asking = asyncio.Lock()
        self._found: list[str] = []
        self._found_at: float | None = None

    async def troubles(self) -> list[str]:
        """Answers within PATIENCE_SECONDS, whatever the services do: one that does not
        answer is a not_ready_reason."""
        async with self._asking:  # Who asks meanwhile takes what is found.
            now = self._clock.monotonic()
            if self._found_at is None or now - self._found_at >= KEPT_SECONDS:
                found = await asyncio.gather(
                    _not_ready_reason("Postgres", self._postgres),
                    _not_ready_reason("Redis", self._ping),
                )
                self._found = [not_ready_reason for not_ready_reason in found if not_ready_reason]
                self._found_at = self._clock.monotonic()
        return self._found + self._more()

    async def close(self) -> None:
        """Close the connection to Redis; the pool is its owner's."""
        await self._redis.aclose()

    async def _postgres(self) -> None:
        async with self._pool.connection() as connection:
            await connection.execute("SELECT 1")

    async def _ping(self) -> None:
        async with service_errors():
            await self._redis.ping()


async def _not_ready_reason(name: str, ask: Callable[[], Awaitable[None]]) -> str | None:
    """What is told to whoever asks names no server; that is for the log."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await ask()
    except TimeoutError:
        return f"{name} does not answer within {PATIENCE_SECONDS:.0f} s"
    except (GoaldError, RedisError) as error:
        _log.warning("service cannot be used", service=name, error=str(error))
        return f"{name} cannot be used"
    return None
