"""`ports.Gates` in memory."""

from collections.abc import Sequence

from goald.adapters.memory.actions.state import LiveGate, MemoryActions
from goald.domain.actions.gates import GateId, GateSeries, series_epoch
from goald.domain.errors import LeaseLost, ServerReplaced
from goald.domain.ids import ContactId, TenantId, WorkflowId
from goald.domain.leases import SlotLease
from goald.ports.actions.gates import GateRun, GateState, GateStatus, JobEntry, Registration
from goald.redis_keys import FIELD, GATE_FIELD, action_stream


class MemoryGates:
    """`ports.Gates` over `MemoryActions`."""

    def __init__(self, actions: MemoryActions) -> None:
        self._actions = actions
        self._series: dict[SlotLease, GateSeries] = {}

    async def fence(self, lease: SlotLease, series: GateSeries) -> GateRun:
        actions, run_id = self._actions, self._run_id()
        for slot in _slots(lease):
            found = actions.holders.get(slot, series)
            is_own = found in {series, self._series.get(lease)}
            if series_epoch(found) > lease.epoch or (
                series_epoch(found) == lease.epoch and not is_own
            ):
                raise LeaseLost(f"the gates of slot {slot} have a later holder")
        is_continuous = all(actions.admitted.get(slot) == run_id for slot in _slots(lease))
        for slot in _slots(lease):
            actions.holders[slot] = series
            if not is_continuous:
                actions.admitted.pop(slot, None)
                actions.floors[slot] = series
        self._series = {lease: series}
        floors = [actions.floors[slot] for slot in _slots(lease)]
        return GateRun(run_id, is_continuous, floors)

    async def admit(self, lease: SlotLease, run: GateRun) -> bool:
        run_id = self._run_id()
        if run_id != run.run_id or not self._holds(lease):
            return False
        admitted = {self._actions.admitted.get(slot) for slot in _slots(lease)}
        if not admitted <= {None, run_id}:
            return False
        self._actions.admitted.update(dict.fromkeys(_slots(lease), run_id))
        return True

    async def register(self, lease: SlotLease, jobs: Sequence[JobEntry]) -> list[Registration]:
        self._require(lease)
        return [await self._register(job) for job in jobs]

    async def close_gates(self, lease: SlotLease, gates: Sequence[GateId]) -> list[GateState]:
        self._require(lease)
        return [self._close(gate) for gate in gates]

    async def states(self, gates: Sequence[GateId]) -> list[GateState]:
        return [self._actions.state(gate) for gate in gates]

    async def set_active(
        self, workflows: Sequence[tuple[TenantId, WorkflowId]], *, is_active: bool
    ) -> None:
        self._actions.now_ms()
        if is_active:
            self._actions.inactive.difference_update(workflows)
        else:
            self._actions.inactive.update(workflows)

    async def erase_payloads(self, contacts: Sequence[tuple[TenantId, ContactId]]) -> None:
        self._actions.now_ms()
        payloads = self._actions.payloads
        for key in [key for key in payloads if key[:2] in contacts]:
            del payloads[key]

    async def close(self) -> None:
        """There is nothing to close."""

    async def _register(self, job: JobEntry) -> Registration:
        actions = self._actions
        if actions.state(job.gate).status is not GateStatus.UNKNOWN:
            return Registration.EXISTS
        if job.replaces is not None and actions.state(job.replaces).status not in {
            GateStatus.CLOSED,
            GateStatus.UNKNOWN,
        }:
            return Registration.REPLACED_IS_LIVE
        stream = action_stream(job.action)
        fields = (FIELD, job.payload, GATE_FIELD, str(job.gate))
        entry_id = await actions.streams.add(stream, [each.encode() for each in fields])
        actions.live[job.gate] = LiveGate(stream, entry_id, job.expires_at_ms)
        return Registration.REGISTERED

    def _close(self, gate: GateId) -> GateState:
        actions = self._actions
        before, live = actions.state(gate), actions.live.get(gate)
        if live is not None and before.status is GateStatus.OPEN:
            actions.remove_entry(live.stream, live.entry_id)
            actions.end(gate, GateStatus.CLOSED)
        elif live is not None:
            live.is_closing = True
        elif before.status is GateStatus.UNKNOWN:
            actions.end(gate, GateStatus.CLOSED)
        return before

    def _run_id(self) -> str:
        self._actions.now_ms()
        return self._actions.streams.run_id

    def _holds(self, lease: SlotLease) -> bool:
        """Whether the records of all slots are those of the lease. Raises LeaseLost."""
        series = self._series.get(lease)
        if series is None:
            raise LeaseLost(f"the gates of slots {lease.slots} are not fenced")
        found = [self._actions.holders.get(slot) for slot in _slots(lease)]
        if any(holder is not None and series_epoch(holder) > lease.epoch for holder in found):
            raise LeaseLost(f"the gates of slots {lease.slots} have a later holder")
        return all(holder == series for holder in found)

    def _require(self, lease: SlotLease) -> None:
        run_id = self._run_id()
        admitted = (self._actions.admitted.get(slot) for slot in _slots(lease))
        if not self._holds(lease) or any(run != run_id for run in admitted):
            raise ServerReplaced(f"the gates of slots {lease.slots} are of another run, or lost")


def _slots(lease: SlotLease) -> range:
    return range(lease.slots.first, lease.slots.last + 1)
