"""`ports.JobQueue` and `ports.Gates`: the payloads of actions that may be attempted again (X3)."""

import os

from tests.contract.actions.backends import ActionBackend
from tests.contract.actions.gate_calls import (
    ACME,
    G0,
    G1,
    G2,
    LEASE,
    SLOT,
    WEBHOOK,
    entry_of,
    holder,
    job,
    request,
)

from goald.domain.actions.gates import GateId
from goald.domain.ids import ContactId
from goald.ports.actions.jobs import Finished, JobQueue, JobResult, PayloadChange

JANE, MARY = ContactId("jane"), ContactId("mary")


async def finish(
    actions: ActionBackend, queue: JobQueue, gate: GateId, contact: ContactId, data: bytes
) -> None:
    """Perform a job whose result changes a payload."""
    token = os.urandom(16)
    await queue.pass_gates([request(gate, token)])
    change = PayloadChange(ACME, contact, "key", data)
    entry = await entry_of(actions, gate)
    result = JobResult(gate, SLOT, token, WEBHOOK, entry, b"{}", payload=change)
    assert await queue.finish([result]) == [Finished.FINISHED]


async def test_a_payload_is_stored_once_and_erased_with_a_result(actions: ActionBackend) -> None:
    gates, queue = await holder(actions), actions.queue()
    await gates.register(LEASE, [job(G0), job(G1), job(G2)])
    assert await queue.payload(ACME, JANE, "key") == b""
    await finish(actions, queue, G0, JANE, b"first\x00\xff")
    await finish(actions, queue, G1, JANE, b"second")
    assert await queue.payload(ACME, JANE, "key") == b"first\x00\xff"
    assert await queue.payload(ACME, JANE, "other") == b""
    assert await queue.payload(ACME, MARY, "key") == b""
    await finish(actions, queue, G2, JANE, b"")
    assert await queue.payload(ACME, JANE, "key") == b""


async def test_a_late_result_changes_no_payload(actions: ActionBackend) -> None:
    gates, queue = await holder(actions), actions.queue()
    await gates.register(LEASE, [job(G0)])
    await queue.pass_gates([request(G0, os.urandom(16))])
    change = PayloadChange(ACME, JANE, "key", b"late")
    entry = await entry_of(actions, G0)
    late = JobResult(G0, SLOT, os.urandom(16), WEBHOOK, entry, b"{}", payload=change)
    assert await queue.finish([late]) == [Finished.REFUSED]
    assert await queue.payload(ACME, JANE, "key") == b""


async def test_the_payloads_of_a_contact_are_erased_together(actions: ActionBackend) -> None:
    gates, queue = await holder(actions), actions.queue()
    await gates.register(LEASE, [job(G0), job(G1)])
    await finish(actions, queue, G0, JANE, b"a")
    await finish(actions, queue, G1, MARY, b"b")
    await gates.erase_payloads([(ACME, JANE), (ACME, ContactId("unknown"))])
    await gates.erase_payloads([])
    assert await queue.payload(ACME, JANE, "key") == b""
    assert await queue.payload(ACME, MARY, "key") == b"b"
