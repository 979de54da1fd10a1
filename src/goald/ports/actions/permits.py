"""Permits: how many executions of an account may be ACTIVE at the same time (X8).

A permit belongs to one execution in one slot. A shard takes it before the commit that makes the
execution ACTIVE, and returns it after the commit that ends this status. So there may be more
permits than ACTIVE executions for a moment, never fewer. An execution that moves to another slot,
because its contact was merged, may have one in each.

Permits use the fence of `ports.Gates`: `series` is that under which the caller has fenced the
slots. Calls are refused with LeaseLost and ServerReplaced as described there, with nothing
changed. Every coroutine may raise `ServiceUnavailable` if the server is unreachable or refuses to
write (D6); the call may have been executed, and can be repeated.
"""

from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple, Protocol

from goald.domain.actions.gates import GateSeries
from goald.domain.ids import EnrollmentId, TenantId
from goald.domain.slots import SlotRange


class Permit(NamedTuple):
    """The permit of one execution."""

    tenant_id: TenantId
    execution_id: EnrollmentId
    slot: int
    """That of the contact."""


class PermitAnswer(Enum):
    """The answer to a request for a permit."""

    GRANTED = auto()
    """The execution has a permit, also if it had one before."""
    FULL = auto()
    """The account has as many as it may have."""
    NOT_REPORTED = auto()
    """Redis was replaced or lost data, and some shard has not reported yet. Ask again later."""


class Permits(Protocol):
    """Takes and returns the permits of executions in a range of slots."""

    async def report(self, slots: SlotRange, series: GateSeries, active: Sequence[Permit]) -> None:
        """Replace the permits of the slots by those of the executions that are ACTIVE in Postgres.
        Call it after `Gates.fence`, before `Gates.admit`: an earlier holder may have taken permits
        that it did not use, and a replaced Redis may have none."""

    async def take(
        self, slots: SlotRange, series: GateSeries, requests: Sequence[tuple[Permit, int]]
    ) -> list[PermitAnswer]:
        """Take permits, in order, each with the limit of its account. One answer for each."""

    async def release(
        self, slots: SlotRange, series: GateSeries, permits: Sequence[Permit]
    ) -> None:
        """Return permits. Ignores those that do not exist."""

    async def close(self) -> None:
        """Close the connection."""
