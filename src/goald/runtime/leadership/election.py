"""Which `goald serve` of several on one Redis and one Postgres acts: one, the others stand by.

The one that acts holds the lease of `LEADER_LEASE`. Its epoch is the number under which its actors
take slots and streams, and whoever comes under a greater one takes them at once: so no two
instances ever hold a part each and wait for each other.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from goald.domain.errors import LeaseHeld, LeaseLost, RetryableError
from goald.domain.leases import LEADER_LEASE, StreamLease
from goald.pipeline.lease_renewal import RENEW_SECONDS
from goald.ports.clock import Clock
from goald.ports.stream_leases import StreamLeases
from goald.runtime.connections import CLOSE_SECONDS, close_all
from goald.runtime.leadership.takeover import INSTANCE_ROLE, ProcessTakeover, this_process

LOOK_SECONDS = 1.0
"""Between two looks whether the one that acts has ended."""

T = TypeVar("T")


class LeaderElection:
    """The lease by which this process is the one that acts."""

    def __init__(self, leases: StreamLeases, clock: Clock) -> None:
        self._leases = leases
        self._clock = clock
        self._lease: StreamLease | None = None
        self._waits_for: str | None = None

    @property
    def waits_for(self) -> str | None:
        """Why it does not act, a short phrase; None while it does."""
        return self._waits_for

    async def take(self, tell: Callable[[str], None]) -> int:
        """Wait until no other acts; the epoch to act under. `tell` hears what is waited for,
        once for each reason."""
        claim = ProcessTakeover(this_process(0, INSTANCE_ROLE), self._clock)
        # A Postgres that lost it may still hold leases that our actors took under it since.
        before = 0 if self._lease is None else self._lease.epoch
        while True:
            try:
                self._lease = await self._leases.acquire(
                    LEADER_LEASE, str(claim.holder), claim, before
                )
            except LeaseHeld as error:
                reason = f"another goald acts, and this one stands by: {error}"
            except RetryableError:
                reason = "it cannot see whether another goald acts: Postgres cannot be used"
            else:
                self._waits_for = None
                return self._lease.epoch
            if reason != self._waits_for:
                self._waits_for = reason
                tell(reason)
            await self._clock.sleep(LOOK_SECONDS)

    async def during(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work gives. Raises LeaseLost, the work being cancelled, where another took
        over meanwhile."""
        if self._lease is None:
            raise RuntimeError("the lease is not taken yet")
        doing = asyncio.ensure_future(work)
        holding = asyncio.ensure_future(self._hold(self._lease))
        try:
            await asyncio.wait({doing, holding}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (doing, holding):
                task.cancel()
            await asyncio.wait({doing, holding})
        if not holding.cancelled() and (lost := holding.exception()) is not None:
            raise lost
        return doing.result()

    async def release(self) -> None:
        """Let another act at once, in at most CLOSE_SECONDS. Where Postgres is away, or does not
        answer, that one finds out by itself."""
        with contextlib.suppress(RetryableError, LeaseLost, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                if self._lease is not None:
                    await self._leases.release(self._lease)
        await close_all(self._leases)

    async def _hold(self, lease: StreamLease) -> None:
        """Renew until cancelled. While Postgres is away nobody can take over, and each actor
        looks after its own lease: so that alone ends nothing."""
        while True:
            await self._clock.sleep(RENEW_SECONDS)
            try:
                async with asyncio.timeout(RENEW_SECONDS):
                    await self._leases.renew(lease)
            except (RetryableError, TimeoutError):
                continue
            except LeaseLost:
                self._waits_for = "another goald has taken over"
                raise
