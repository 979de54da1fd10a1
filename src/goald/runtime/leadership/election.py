"""Leader election: of several `goald serve` on one Redis and one Postgres, one is active and the
others are on standby.

The active instance holds the lease `goald:leader`. The epoch of that lease is the number under
which its actors take slots and streams, and a greater number takes them from a smaller one
immediately. So two instances never hold some of the leases each and wait for each other.
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

RETRY_SECONDS = 1.0
"""Between two attempts of a standby to become the leader."""

T = TypeVar("T")


class LeaderElection:
    """This process's part in the election."""

    def __init__(self, leases: StreamLeases, clock: Clock) -> None:
        self._leases = leases
        self._clock = clock
        self._lease: StreamLease | None = None
        self._standby_reason: str | None = None

    @property
    def standby_reason(self) -> str | None:
        """Why this instance is not active, a short phrase; None if it is."""
        return self._standby_reason

    async def win(self, report: Callable[[str], None]) -> int:
        """Wait until this instance is the leader, and return its epoch. Calls `report` with the
        reason for waiting, once for each reason."""
        policy = ProcessTakeover(this_process(0, INSTANCE_ROLE), self._clock)
        # If Postgres lost the lease, actors may still hold others that they took under its epoch.
        above = 0 if self._lease is None else self._lease.epoch
        while True:
            try:
                self._lease = await self._leases.acquire(
                    LEADER_LEASE, str(policy.holder), policy, above
                )
            except LeaseHeld as error:
                reason = f"standby: {policy.refused_holder or error}"
            except RetryableError:
                reason = "standby: cannot read the leader lease, because Postgres is unavailable"
            else:
                self._standby_reason = None
                return self._lease.epoch
            if reason != self._standby_reason:
                self._standby_reason = reason
                report(reason)
            await self._clock.sleep(RETRY_SECONDS)

    async def run_while_leader(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of the work. Cancels it and raises LeaseLost if another instance takes
        over."""
        if self._lease is None:
            raise RuntimeError("this instance is not the leader")
        working = asyncio.ensure_future(work)
        renewing = asyncio.ensure_future(self._renew(self._lease))
        try:
            await asyncio.wait({working, renewing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (working, renewing):
                task.cancel()
            await asyncio.wait({working, renewing})
        if not renewing.cancelled() and (error := renewing.exception()) is not None:
            raise error
        return working.result()

    async def release(self) -> None:
        """Give up the leadership, so that a standby takes over immediately. Takes at most
        CLOSE_SECONDS: if Postgres does not answer, the lease expires."""
        with contextlib.suppress(RetryableError, LeaseLost, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                if self._lease is not None:
                    await self._leases.release(self._lease)
        await close_all(self._leases)

    async def _renew(self, lease: StreamLease) -> None:
        """Renew until cancelled. An unavailable Postgres does not end the leadership: no other
        instance can take over meanwhile, and each actor checks its own lease."""
        while True:
            await self._clock.sleep(RENEW_SECONDS)
            try:
                async with asyncio.timeout(RENEW_SECONDS):
                    await self._leases.renew(lease)
            except (RetryableError, TimeoutError):
                continue
            except LeaseLost:
                self._standby_reason = "standby: another instance has taken over"
                raise
