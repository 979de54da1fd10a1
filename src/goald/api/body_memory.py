"""How much memory the bodies of requests may take (D8)."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Final

from goald.api.problems import Problem, TooManyRequests, Unavailable

FREE_BYTES: Final = 16 << 10
"""The part of each body that does not count, so that small requests never wait. The number of
connections bounds it."""
WAIT_S: Final = 2.0
"""How long a request waits for memory."""
_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class BodyOwner:
    """The tenant that a body belongs to, and the address that it comes from."""

    tenant: str
    address: str


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """Bytes of bodies that are in memory at a time. No tenant and no address can take all."""

    total: int = 16 * _MIB
    per_tenant: int = 4 * _MIB
    per_address: int = 8 * _MIB
    per_tenant_and_address: int = 4 * _MIB
    waiting: int = 128
    """Requests that wait for memory. One read of each body (16 KiB) may be in memory."""
    waiting_per_tenant: int = 32
    waiting_per_address: int = 64


SIGNED: Final = MemoryLimits(
    total=8 * _MIB,
    per_tenant=4 * _MIB,
    per_address=4 * _MIB,
    per_tenant_and_address=2 * _MIB,
)
"""For bodies whose sender is not verified yet. An attacker who knows a tenant needs several
addresses to take all of its share."""


class BodyMemory:
    """Counts the bytes of bodies by tenant and address. Bound to one event loop."""

    def __init__(self, limits: MemoryLimits | None = None) -> None:
        self._limits = limits if limits is not None else MemoryLimits()
        self._used: Counter[tuple[str, ...]] = Counter()
        self._waiting: dict[asyncio.Future[None], tuple[BodyOwner, int]] = {}

    def take(self, owner: BodyOwner, size: int) -> bool:
        """Count `size` more bytes if there is room for them. Returns whether there was."""
        if self._exceeded(owner, size):
            return False
        self._count(owner, size)
        return True

    def free(self, owner: BodyOwner, size: int) -> None:
        """Discount bytes, and admit requests that wait."""
        self._count(owner, -size)
        for admitted, request in list(self._waiting.items()):
            if self.take(*request):
                del self._waiting[admitted]
                admitted.set_result(None)

    async def wait_for(self, owner: BodyOwner, size: int) -> None:
        """`take`, as soon as there is room. Raises TooManyRequests if the tenant's share stays
        full for WAIT_S, Unavailable if another limit does; immediately if too many requests
        wait."""
        if self.take(owner, size):
            return
        if self._is_queue_full(owner):
            raise self._rejection(owner, size)
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[admitted] = (owner, size)
        try:
            async with asyncio.timeout(WAIT_S):
                await asyncio.shield(admitted)
        except BaseException as error:
            if self._waiting.pop(admitted, None) is None:  # admitted at the same moment
                self.free(owner, size)
            if isinstance(error, TimeoutError):
                raise self._rejection(owner, size) from None
            raise

    def _is_queue_full(self, owner: BodyOwner) -> bool:
        waiting = [each for each, _ in self._waiting.values()]
        return (
            len(waiting) >= self._limits.waiting
            or sum(each.tenant == owner.tenant for each in waiting)
            >= self._limits.waiting_per_tenant
            or sum(each.address == owner.address for each in waiting)
            >= self._limits.waiting_per_address
        )

    def _rejection(self, owner: BodyOwner, size: int) -> Problem:
        if self._used["tenant", owner.tenant] + size > self._limits.per_tenant:
            return TooManyRequests(
                "Other requests of this tenant with large bodies are being processed. Retry later, "
                "or send fewer of them at the same time."
            )
        return Unavailable("Too many requests with large bodies are being processed")

    def _exceeded(self, owner: BodyOwner, size: int) -> bool:
        return any(self._used[key] + size > limit for key, limit in self._keys(owner))

    def _keys(self, owner: BodyOwner) -> tuple[tuple[tuple[str, ...], int], ...]:
        return (
            (("all",), self._limits.total),
            (("tenant", owner.tenant), self._limits.per_tenant),
            (("address", owner.address), self._limits.per_address),
            (("both", owner.tenant, owner.address), self._limits.per_tenant_and_address),
        )

    def _count(self, owner: BodyOwner, change: int) -> None:
        for key, _ in self._keys(owner):
            self._used[key] += change
            if not self._used[key]:
                del self._used[key]


class BodyReservation:
    """The memory of one body: the part of it beyond FREE_BYTES."""

    def __init__(self, memory: BodyMemory, owner: BodyOwner) -> None:
        self._memory = memory
        self._owner = owner
        self._size = 0

    def try_grow(self, size: int) -> bool:
        """Have room for `size` bytes of the body in all, if there is. Returns whether there was."""
        more = max(0, size - FREE_BYTES) - self._size
        if more > 0:
            if not self._memory.take(self._owner, more):
                return False
            self._size += more
        return True

    async def grow(self, size: int) -> None:
        """Have room for `size` bytes of the body in all. Waits. Raises TooManyRequests or
        Unavailable."""
        more = max(0, size - FREE_BYTES) - self._size
        if more > 0:
            await self._memory.wait_for(self._owner, more)
            self._size += more

    def shrink(self, size: int) -> None:
        """Release what is not needed for a body of `size` bytes."""
        less = self._size - max(0, size - FREE_BYTES)
        if less > 0:
            self._size -= less
            self._memory.free(self._owner, less)

    def release(self) -> None:
        """Release everything. The body is not in memory any more."""
        self.shrink(0)
