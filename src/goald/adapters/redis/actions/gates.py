"""The gates of jobs in Redis, for the holder of slots (X2)."""

from collections.abc import Sequence
from typing import Any, Final

from goald.adapters.redis.actions.holder_scripts import ADMIT, CLOSE, FENCE, REGISTER, STATES
from goald.domain.actions.gates import GateId, GateSeries
from goald.domain.errors import LeaseLost, ServerReplaced, ServiceUnavailable
from goald.domain.ids import ContactId, TenantId, WorkflowId
from goald.domain.leases import SlotLease
from goald.domain.slots import SLOTS
from goald.ports.actions.gates import GateRun, GateState, GateStatus, JobEntry, Registration
from goald.redis_jobs.gate_scripts import KEPT_SECONDS
from goald.redis_jobs.places import Places, batches
from goald.redis_jobs.workflows import workflow_member
from goald.redis_keys import (
    FIELD,
    GATE_FLOORS,
    GATE_SLOTS,
    GATES,
    GROUP,
    INACTIVE_WORKFLOWS,
    action_stream,
    payloads_key,
)
from goald.redis_wire import Wire, checked

_REPLICAS_MS: Final = 1_000
_STATUS: Final = {
    b"o": GateState(GateStatus.OPEN),
    b"x": GateState(GateStatus.CLOSED),
    b"f": GateState(GateStatus.FINISHED),
    b"u": GateState(GateStatus.UNKNOWN),
}
_REGISTRATION: Final = (
    Registration.REGISTERED,
    Registration.EXISTS,
    Registration.REPLACED_IS_LIVE,
)


class RedisGates:
    """`ports.Gates` over Redis. Calls execute one after another. Bound to one event loop."""

    def __init__(
        self,
        url: str,
        *,
        kept_seconds: float = KEPT_SECONDS,
        replicas: int = 0,
        timeout: float = 10.0,
    ) -> None:
        """`kept_seconds`: how long closed and finished gates are kept, at least KEPT_SECONDS; must
        be longer than messages are published again (GOALD_REPUBLISH). `replicas`: how many
        replicas must have a close before it counts. Does not connect."""
        self._wire = Wire(url, timeout=timeout)
        self._kept_ms = round(max(kept_seconds, KEPT_SECONDS) * 1_000)
        self._replicas = replicas
        self._series: dict[SlotLease, GateSeries] = {}

    async def fence(self, lease: SlotLease, series: GateSeries) -> GateRun:
        arguments = (series, self._series.get(lease, ""), *_slots(lease), SLOTS)
        refused, *found = await FENCE.call(self._wire, [GATE_SLOTS, GATE_FLOORS], arguments)
        if refused:
            raise LeaseLost(f"the gates of slots {lease.slots} have a later holder than {series}")
        self._series = {lease: series}
        run, is_continuous, floors = found
        size = len(series)
        of_slots = [floors[at : at + size].decode() for at in range(0, len(floors), size)]
        return GateRun(run.decode(), bool(is_continuous), [GateSeries(each) for each in of_slots])

    async def admit(self, lease: SlotLease, run: GateRun) -> bool:
        reply = await ADMIT.call(self._wire, [GATE_SLOTS], (*self._fenced(lease), run.run_id))
        if reply == 1:
            raise _lost(lease)
        return bool(reply == 0)

    async def register(self, lease: SlotLease, jobs: Sequence[JobEntry]) -> list[Registration]:
        answers: list[Registration] = []
        for batch in batches(jobs):
            places = Places(GATE_SLOTS, GATES)
            arguments: list[str | bytes | int] = [*self._fenced(lease), FIELD, self._kept_ms]
            for job in batch:
                arguments += (
                    *places.gate(job.gate),
                    places.key(action_stream(job.action)),
                    job.action,
                    f"{job.expires_at_ms or 0:013d}",
                    job.payload,
                )
                arguments += ("", 0, "") if job.replaces is None else places.gate(job.replaces)
            reply = await REGISTER.call(self._wire, places.keys, arguments)
            answers += [_REGISTRATION[each] for each in _accepted(reply, lease)]
        return answers

    async def close_gates(self, lease: SlotLease, gates: Sequence[GateId]) -> list[GateState]:
        states: list[GateState] = []
        for batch in batches(gates):
            places = Places(GATE_SLOTS, GATES)
            arguments: list[str | bytes | int] = [
                *self._fenced(lease), self._kept_ms, action_stream(""), GROUP,
            ]  # fmt: skip
            for gate in batch:
                arguments += places.gate(gate)
            wait = [("WAIT", self._replicas, _REPLICAS_MS)] if self._replicas else []
            reply, *waited = await CLOSE.call_before(self._wire, places.keys, arguments, *wait)
            states += map(_state, _accepted(reply, lease))
            if wait and checked(waited[0]) < self._replicas:
                raise ServiceUnavailable(
                    f"Redis has fewer than {self._replicas} replicas that are up to date "
                    "(GOALD_GATE_REPLICAS)"
                )
        return states

    async def states(self, gates: Sequence[GateId]) -> list[GateState]:
        states: list[GateState] = []
        for batch in batches(gates):
            places = Places(GATE_SLOTS, GATES)
            arguments = [part for gate in batch for part in places.gate(gate)]
            states += map(_state, await STATES.call(self._wire, places.keys, arguments))
        return states

    async def set_active(
        self, workflows: Sequence[tuple[TenantId, WorkflowId]], *, is_active: bool
    ) -> None:
        members = [workflow_member(*workflow) for workflow in workflows]
        if members:
            command = "SREM" if is_active else "SADD"
            (reply,) = await self._wire.ask((command, INACTIVE_WORKFLOWS, *members))
            checked(reply)

    async def erase_payloads(self, contacts: Sequence[tuple[TenantId, ContactId]]) -> None:
        if contacts:
            keys = [payloads_key(*contact) for contact in contacts]
            (reply,) = await self._wire.ask(("UNLINK", *keys))
            checked(reply)

    async def close(self) -> None:
        await self._wire.close()

    def _fenced(self, lease: SlotLease) -> tuple[str, int, int]:
        """The series, the first slot, and the number of slots."""
        series = self._series.get(lease)
        if series is None:
            raise LeaseLost(f"the gates of slots {lease.slots} are not fenced")
        return series, *_slots(lease)


def _slots(lease: SlotLease) -> tuple[int, int]:
    """The first slot, and the number of slots."""
    return lease.slots.first, lease.slots.last - lease.slots.first + 1


def _accepted(reply: Any, lease: SlotLease) -> list[Any]:
    if reply == 1:
        raise _lost(lease)
    if reply == 2:
        raise ServerReplaced(f"Redis was replaced or lost the gates of slots {lease.slots}")
    answers: list[Any] = reply
    return answers


def _lost(lease: SlotLease) -> LeaseLost:
    return LeaseLost(f"the gates of slots {lease.slots} have a later holder than {lease.holder}")


def _state(answer: bytes | int) -> GateState:
    if isinstance(answer, int):
        return GateState(GateStatus.PASSED, answer)
    return _STATUS[answer]
