"""Whether the servers of the API can be used: checked at most once a second, however often
/readyz is called."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from goald.domain.errors import GoaldError
from goald.ports.clock import Clock

CACHE_SECONDS = 1.0
TIMEOUT_SECONDS = 2.0

_log = structlog.stdlib.get_logger(__name__)


class ServicesHealth:
    """An `api.ports.Health` over Redis and Postgres. Bound to the event loop that uses it
    first."""

    def __init__(
        self,
        servers: Mapping[str, Callable[[], Awaitable[None]]],
        clock: Clock,
        instance_reasons: Callable[[], list[str]] = list,
    ) -> None:
        """`servers`: for each server's name, a call that succeeds if it can be used, and raises
        GoaldError otherwise. `instance_reasons`: why the instance is not ready apart from its
        servers; called each time, must not block."""
        self._servers = servers
        self._clock = clock
        self._instance_reasons = instance_reasons
        self._checking = asyncio.Lock()
        self._server_reasons: list[str] = []
        self._checked_at: float | None = None

    async def not_ready_reasons(self) -> list[str]:
        """Why the API is not ready, the cause first; empty if it is ready.

        If a server cannot be used, that is the only reason, because everything else follows from
        it. Returns within TIMEOUT_SECONDS: a server that does not answer cannot be used.
        """
        async with self._checking:  # concurrent callers share one check
            now = self._clock.monotonic()
            if self._checked_at is None or now - self._checked_at >= CACHE_SECONDS:
                reasons = await asyncio.gather(
                    *(_check(name, call) for name, call in self._servers.items())
                )
                self._server_reasons = [reason for reason in reasons if reason is not None]
                self._checked_at = self._clock.monotonic()
        return list(self._server_reasons) or self._instance_reasons()


async def _check(name: str, call: Callable[[], Awaitable[None]]) -> str | None:
    """The reason contains no address, because /readyz needs no token. The log has the address."""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await call()
    except TimeoutError:
        return f"{name} did not answer within {TIMEOUT_SECONDS:.0f} s"
    except GoaldError as error:
        _log.warning("server unavailable", server=name, error=str(error))
        return f"{name} is unavailable"
    return None
