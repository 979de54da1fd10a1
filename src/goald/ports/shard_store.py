"""The durable state of a range of slots.

Times are microseconds since the Unix epoch. Every coroutine may raise `ServiceUnavailable`
when its server cannot be reached or refuses to write (D6).
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from goald.domain.ids import ContactId, TenantId
from goald.domain.leases import SlotLease, TakeoverPolicy, always_take_over
from goald.domain.slots import SlotRange
from goald.ports.change import Change, Committed
from goald.ports.configuration import Configuration
from goald.ports.outbox import Outbox


class ShardStore(Protocol):
    """The durable state of a range of slots, under one lease (design 2, step 4; 3.3)."""

    @property
    def outbox(self) -> Outbox:
        """The messages of what was committed."""

    async def acquire(
        self, slots: SlotRange, holder: str, takeover_policy: TakeoverPolicy = always_take_over
    ) -> SlotLease:
        """Take the slots from those who have them: remove every lease that overlaps, end its
        holder's backend, and commit a lease with a new, greater epoch. Raises LeaseHeld, with
        nothing changed, where one of them may not be taken."""

    async def renew(self, lease: SlotLease, config_version: int) -> None:
        """Extend the lease, and say which configuration is held. Raises LeaseLost."""

    async def release(self, lease: SlotLease) -> None:
        """Give the lease back. Does nothing if it is no longer ours."""

    async def check(self, lease: SlotLease) -> None:
        """Read the lease after an evaluation that changed nothing (D2). Raises LeaseLost."""

    async def configuration(self, after: int) -> Configuration:
        """Every workflow, of every tenant, changed after this version; the version reached.
        With 0, all of them."""

    async def load(self, lease: SlotLease, sink: Callable[[bytes], object]) -> None:
        """Hand all active enrollments of the slots to `sink`, in pieces of the form that
        `_native.Engine.load` takes. Fails, never silently empty, where row security hides
        them. Raises LeaseLost."""

    async def load_contacts(
        self,
        lease: SlotLease,
        contacts: Sequence[tuple[TenantId, ContactId]],
        sink: Callable[[bytes], object],
    ) -> None:
        """The same for these (tenant, contact) pairs alone."""

    async def commit(self, lease: SlotLease, change: Change) -> Committed:
        """Write a change in one transaction: the lease is checked FOR SHARE, new enrollments
        are inserted where their id is free, active ones updated where they still are active,
        and only what hangs on an effect that took hold is written beside it. Raises LeaseLost,
        or ContentRefused where a row's content is refused (D4), with nothing written; or
        CommitUnknown."""

    async def close(self) -> None: ...
