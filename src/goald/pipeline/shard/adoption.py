"""The calls that wait until the enrollments of merged contacts have moved (E21): each ends with the
last page of its contacts."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

from goald.domain.ids import ContactId, TenantId
from goald.ports.shard_store import MOST_WAITING, Transfer


def target(transfer: Transfer) -> tuple[TenantId, ContactId]:
    """The contact that continues the merged one."""
    return transfer.tenant_id, transfer.into_contact_id


@dataclass(frozen=True, slots=True)
class _AdoptionCall:
    contacts: frozenset[tuple[TenantId, ContactId]]
    adopted: "asyncio.Future[None]"


class AdoptionCalls:
    """The calls that wait, and rounds of transfers that end them."""

    def __init__(self) -> None:
        self._requested = asyncio.Event()
        self._arrived: list[_AdoptionCall] = []
        self._waiting: list[_AdoptionCall] = []
        """Those that a round knows: its transfers were read after they arrived."""
        self._remaining: Counter[tuple[TenantId, ContactId]] = Counter()
        """The transfers of the round that have not moved, by their targets."""
        self._incomplete: frozenset[TenantId] = frozenset()
        """Tenants that may have transfers that the round lacks."""

    async def adopted(self, contacts: Collection[tuple[TenantId, ContactId]]) -> None:
        """Request a round. Returns when the transfers to these contacts have moved, or are
        refused."""
        call = _AdoptionCall(frozenset(contacts), asyncio.get_running_loop().create_future())
        self._arrived.append(call)
        self._requested.set()
        await call.adopted

    def request(self) -> None:
        """Request a round that ends no call."""
        self._requested.set()

    @property
    def is_requested(self) -> bool:
        """Whether a round was requested after the start of the last one."""
        return self._requested.is_set()

    async def wait(self) -> None:
        """Return when a round is requested."""
        await self._requested.wait()

    async def begin_round(self, read: Callable[[], Awaitable[list[Transfer]]]) -> list[Transfer]:
        """Read the transfers that wait, and end the calls that wait for none of them."""
        self._requested.clear()
        self._waiting += self._arrived
        self._arrived = []
        transfers = await read()
        self._remaining = Counter(map(target, transfers))
        self._incomplete = _incomplete(transfers)
        self._end_calls()
        return transfers

    def finish(self, transfer: Transfer) -> None:
        """A transfer of the round has moved its last page, or is refused. Requests the next round
        if calls wait for transfers that this one lacks."""
        self._remaining[target(transfer)] -= 1
        if self._remaining[target(transfer)] == 0 and self._end_calls():
            self._requested.set()

    def _end_calls(self) -> bool:
        """End the calls without a transfer that has not moved. Returns whether some of these must
        wait for the next round."""
        waiting, must_wait = [], False
        for call in self._waiting:
            if any(self._remaining[contact] for contact in call.contacts):
                waiting.append(call)
            elif any(tenant in self._incomplete for tenant, _ in call.contacts):
                waiting.append(call)
                must_wait = True
            elif not call.adopted.done():
                call.adopted.set_result(None)
        self._waiting = waiting
        return must_wait


def _incomplete(transfers: Sequence[Transfer]) -> frozenset[TenantId]:
    """The tenants that may have more transfers than one call of `ShardStore.transfers` reads."""
    if len(transfers) < MOST_WAITING:
        return frozenset()
    counts = Counter(transfer.tenant_id for transfer in transfers)
    most = max(counts.values())
    return frozenset(tenant for tenant, count in counts.items() if count >= most - 1)
