"""Leases of event streams.

Every coroutine may raise `ServiceUnavailable` if the server is unreachable or refuses to
write (D6).
"""

from typing import Protocol

from goald.domain.leases import StreamLease, TakeoverPolicy, always_take_over


class StreamLeases(Protocol):
    """Leases of event streams (D3)."""

    async def acquire(
        self,
        stream: str,
        holder: str,
        takeover_policy: TakeoverPolicy = always_take_over,
        above: int = 0,
    ) -> StreamLease:
        """Acquire the lease of the stream, taking it over from a current holder.

        The new epoch is greater than all epochs given before, and greater than `above`: an epoch
        that may have been given before the leases were restored from an older copy (D10).
        Raises LeaseHeld, with nothing changed, if the policy rejects the takeover.
        """

    async def renew(self, lease: StreamLease) -> None:
        """Extend the lease. Raises LeaseLost."""

    async def release(self, lease: StreamLease) -> None:
        """Release the lease. Does nothing if it is held by another holder."""

    async def close(self) -> None:
        """Close the connection."""
