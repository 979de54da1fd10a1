"""Places for requests that take the API longer than others: few of one tenant at a time (D8)."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from goald.api.problems import TooManyRequests, Unavailable


@dataclass(frozen=True, slots=True)
class WorkLimits:
    """Requests that are served at a time in one process. No tenant can take every place."""

    total: int = 4
    per_tenant: int = 1
    waiting: int = 16
    """Requests of one tenant that wait for its places."""
    wait_s: float = 1.0
    """How long a request waits for a place before it is refused."""


class WorkPlaces:
    """Shares the API process among tenants. Requests of one tenant are served in their order.
    Bound to one event loop."""

    def __init__(self, what: str, limits: WorkLimits | None = None) -> None:
        """`what`: the requests, in the plural, for the response to a refused one."""
        self._what = what
        self._limits = limits if limits is not None else WorkLimits()
        self._all = asyncio.Semaphore(self._limits.total)
        self._of_tenant: dict[str, asyncio.Semaphore] = {}
        self._requests: Counter[str] = Counter()

    @asynccontextmanager
    async def taken_by(self, tenant: str) -> AsyncIterator[None]:
        """Hold a place until the `with` block ends. Raises TooManyRequests if too many requests of
        the tenant wait, or its places are not free within `wait_s`; Unavailable if those of all
        tenants are not."""
        limits = self._limits
        if self._requests[tenant] >= limits.per_tenant + limits.waiting:
            raise self._refused()
        self._requests[tenant] += 1
        own = self._of_tenant.setdefault(tenant, asyncio.Semaphore(limits.per_tenant))
        try:
            await _acquire(own, limits.wait_s, self._refused())
            try:
                await _acquire(self._all, limits.wait_s, self._overloaded())
                try:
                    yield
                finally:
                    self._all.release()
            finally:
                own.release()
        finally:
            self._requests[tenant] -= 1
            if not self._requests[tenant]:
                del self._requests[tenant], self._of_tenant[tenant]

    def _refused(self) -> TooManyRequests:
        return TooManyRequests(
            f"Too many {self._what} of this tenant are being served already. Retry later."
        )

    def _overloaded(self) -> Unavailable:
        return Unavailable(f"Too many {self._what} are being served already. Retry later.")


async def _acquire(places: asyncio.Semaphore, wait_s: float, late: Exception) -> None:
    try:
        async with asyncio.timeout(wait_s):
            await places.acquire()
    except TimeoutError:
        raise late from None
