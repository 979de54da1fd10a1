"""Gates and jobs of the contract of `ports.Gates` and `ports.JobQueue`, and calls."""

import os

from tests.contract.actions.backends import ActionBackend

from goald.domain.actions.gates import ActionType, GateId, gate_series
from goald.domain.ids import TenantId, WorkflowId
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.ports.actions.gates import (
    Gates,
    GateState,
    GateStatus,
    JobEntry,
)
from goald.ports.actions.jobs import Finished, JobQueue, JobResult, Passed, PassRequest
from goald.redis_keys import action_stream, event_stream

LOW, ALL = SlotRange(0, 127), SlotRange(0, 255)
ACME, NURTURE = TenantId("acme"), WorkflowId("nurture")
WEBHOOK, EMAIL = ActionType("webhook"), ActionType("send_email")
SLOT = 6
SERIES = gate_series(7, b"\x01\x02\x03\x04")
G0, G1, G2 = (GateId(SERIES, number) for number in range(3))
LEASE = SlotLease(LOW, 7, "shard-0")
OPEN, CLOSED = GateState(GateStatus.OPEN), GateState(GateStatus.CLOSED)
FINISHED, UNKNOWN = GateState(GateStatus.FINISHED), GateState(GateStatus.UNKNOWN)


def job(gate: GateId, action: ActionType = WEBHOOK, replaces: GateId | None = None) -> JobEntry:
    return JobEntry(gate, action, f'{{"gate": "{gate}"}}', replaces=replaces)


def request(
    gate: GateId, token: bytes | None = None, slot: int = SLOT, after: int | None = None
) -> PassRequest:
    return PassRequest(gate, slot, ACME, NURTURE, token or os.urandom(16), after)


async def holder(
    actions: ActionBackend, lease: SlotLease = LEASE, randomness: bytes = b"\x01\x02\x03\x04"
) -> Gates:
    """A holder that has admitted the gates of its slots."""
    gates = actions.gates()
    assert await gates.admit(lease, await gates.fence(lease, gate_series(lease.epoch, randomness)))
    return gates


async def pass_one(queue: JobQueue, gate: GateId, token: bytes | None = None) -> Passed:
    (answer,) = await queue.pass_gates([request(gate, token)])
    return answer


async def entry_of(actions: ActionBackend, gate: GateId, action: ActionType = WEBHOOK) -> bytes:
    """The stream entry of a job."""
    for entry_id, fields in await actions.server.entries(action_stream(action)):
        if fields[b"event"] == job(gate).payload.encode():
            return entry_id
    return b"0-1"


async def finish(
    actions: ActionBackend, queue: JobQueue, gate: GateId, token: bytes | None, event: bytes = b"{}"
) -> Finished:
    entry = await entry_of(actions, gate)
    (answer,) = await queue.finish([JobResult(gate, SLOT, token, WEBHOOK, entry, event)])
    return answer


async def results(actions: ActionBackend) -> list[bytes]:
    return [fields[b"event"] for _, fields in await actions.server.entries(event_stream(SLOT % 4))]


async def jobs_in(actions: ActionBackend, action: ActionType = WEBHOOK) -> list[bytes]:
    return [fields[b"event"] for _, fields in await actions.server.entries(action_stream(action))]
