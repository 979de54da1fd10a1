"""Leases of event streams.

Times are microseconds since the Unix epoch. Every coroutine may raise `ServiceUnavailable`
when its server cannot be reached or refuses to write (D6).
"""

from typing import Protocol

from goald.domain.leases import StreamLease, TakeoverPolicy, always_take_over


class StreamLeases(Protocol):
    """Leases of streams."""

    async def acquire(
        self,
        stream: str,
        holder: str,
        takeover_policy: TakeoverPolicy = always_take_over,
        above: int = 0,
    ) -> StreamLease:
        """Take the stream from whoever has it, under a new epoch, greater than all that were
        given and than `above`, which may have been given before these leases were put back to
        an older copy (D10). Raises LeaseHeld, with nothing changed, where it may not be taken."""

    async def renew(self, lease: StreamLease) -> None:
        """Extend the lease. Raises LeaseLost."""

    async def release(self, lease: StreamLease) -> None: ...

    async def close(self) -> None: ...
