"""`ports.JobQueue`: deliveries of jobs, jobs that wait in a worker, unreadable jobs (X2, X4)."""

import os

from tests.contract.actions.backends import ActionBackend
from tests.contract.actions.gate_calls import (
    CLOSED,
    G0,
    G1,
    LEASE,
    WEBHOOK,
    holder,
    job,
    jobs_in,
    pass_one,
)

from goald.domain.actions.gates import ActionType
from goald.ports.actions.gates import GateStatus, JobEntry
from goald.ports.actions.jobs import ReceivedJob


async def test_a_job_says_how_often_it_was_delivered(actions: ActionBackend) -> None:
    gates = await holder(actions)
    await gates.register(LEASE, [job(G0), job(G1)])
    first = await actions.queue("worker-0").receive([WEBHOOK], 10, 0.1)
    assert [(each.gate, each.deliveries) for each in first] == [(G0, 1), (G1, 1)]
    for number in range(2, 5):
        await actions.server.pass_time(0.05)
        taken = await actions.queue(f"worker-{number}").take_idle(WEBHOOK, 0.05, 10)
        assert [(each.gate, each.deliveries) for each in taken] == [(G0, number), (G1, number)]


async def test_a_job_that_is_renewed_stays_with_its_worker_and_is_not_delivered_again(
    actions: ActionBackend,
) -> None:
    gates, queue, other = await holder(actions), actions.queue(), actions.queue("worker-2")
    await gates.register(LEASE, [job(G0), job(G1)])
    first, second = await queue.receive([WEBHOOK], 10, 0.1)
    await actions.server.pass_time(0.3)
    await queue.renew(WEBHOOK, [first.entry_id, b"9999999999999-0"])
    assert await other.take_idle(WEBHOOK, 0.3, 10) == [second._replace(deliveries=2)]
    await actions.server.pass_time(0.3)
    assert first._replace(deliveries=2) in await other.take_idle(WEBHOOK, 0.3, 10)
    await queue.renew(ActionType("unknown"), [first.entry_id])  # no such stream: nothing to keep


async def test_an_unreadable_job_is_removed_and_its_gate_closed(actions: ActionBackend) -> None:
    gates, queue = await holder(actions), actions.queue()
    await gates.register(LEASE, [JobEntry(G0, WEBHOOK, "?")])
    (received,) = await queue.receive([WEBHOOK], 10, 0.1)
    assert received == ReceivedJob(WEBHOOK, received.entry_id, b"?", G0)
    await queue.discard(received)
    assert (await jobs_in(actions), await gates.states([G0])) == ([], [CLOSED])
    await queue.discard(received)  # again: nothing is left
    assert await gates.states([G0]) == [CLOSED]


async def test_a_job_that_another_worker_could_read_is_not_removed(actions: ActionBackend) -> None:
    gates, queue = await holder(actions), actions.queue()
    await gates.register(LEASE, [job(G0)])
    (received,) = await queue.receive([WEBHOOK], 10, 0.1)
    await pass_one(queue, G0, os.urandom(16))
    await queue.discard(received)
    assert (await gates.states([G0]))[0].status is GateStatus.PASSED
    assert len(await jobs_in(actions)) == 1
