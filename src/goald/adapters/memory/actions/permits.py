"""`ports.Permits` in memory."""

from collections.abc import Sequence

from goald.adapters.memory.actions.state import MemoryActions
from goald.domain.actions.gates import GateSeries, series_epoch
from goald.domain.errors import LeaseLost, ServerReplaced
from goald.domain.slots import SLOTS, SlotRange
from goald.ports.actions.permits import Permit, PermitAnswer


class MemoryPermits:
    """`ports.Permits` over `MemoryActions`."""

    def __init__(self, actions: MemoryActions) -> None:
        self._actions = actions

    async def report(self, slots: SlotRange, series: GateSeries, active: Sequence[Permit]) -> None:
        self._require(slots, series, {None, self._actions.streams.run_id})
        permits = self._actions.permits
        permits -= {each for each in permits if slots.first <= each.slot <= slots.last}
        permits |= set(active)

    async def take(
        self, slots: SlotRange, series: GateSeries, requests: Sequence[tuple[Permit, int]]
    ) -> list[PermitAnswer]:
        run_id = self._actions.streams.run_id
        self._require(slots, series, {run_id})
        if any(self._actions.admitted.get(slot) != run_id for slot in range(SLOTS)):
            return [PermitAnswer.NOT_REPORTED] * len(requests)
        return [self._take(permit, limit) for permit, limit in requests]

    async def release(
        self, slots: SlotRange, series: GateSeries, permits: Sequence[Permit]
    ) -> None:
        self._require(slots, series, {self._actions.streams.run_id})
        self._actions.permits.difference_update(permits)

    async def close(self) -> None:
        """There is nothing to close."""

    def _take(self, permit: Permit, limit: int) -> PermitAnswer:
        permits = self._actions.permits
        count = sum(each.tenant_id == permit.tenant_id for each in permits)
        if permit not in permits and count >= limit:
            return PermitAnswer.FULL
        permits.add(permit)
        return PermitAnswer.GRANTED

    def _require(self, slots: SlotRange, series: GateSeries, runs: set[str | None]) -> None:
        self._actions.now_ms()  # raises if the server is unavailable
        for slot in range(slots.first, slots.last + 1):
            holder = self._actions.holders.get(slot)
            if holder is not None and series_epoch(holder) > series_epoch(series):
                raise LeaseLost(f"the permits of slot {slot} have a later holder")
            if holder != series or self._actions.admitted.get(slot) not in runs:
                raise ServerReplaced(f"the holder of slot {slot} is of another run, or lost")
