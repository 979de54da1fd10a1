"""`ports.JobQueue`: jobs of dead workers go to others (X4)."""

import os

import pytest
from tests.contract.actions.backends import ActionBackend
from tests.contract.actions.gate_calls import (
    G0,
    G1,
    LEASE,
    WEBHOOK,
    finish,
    holder,
    job,
    pass_one,
    request,
)

from goald.ports.actions.jobs import Finished, Passed


async def test_a_job_of_a_dead_worker_goes_to_another_one(actions: ActionBackend) -> None:
    gates = await holder(actions)
    dead, queue = actions.queue("dead"), actions.queue()
    await gates.register(LEASE, [job(G0), job(G1)])
    received = await dead.receive([WEBHOOK], 10, 0.1)
    assert [each.payload for each in received] == [
        job(G0).payload.encode(),
        job(G1).payload.encode(),
    ]
    assert await queue.receive([WEBHOOK], 10, 0.01) == []
    assert await queue.take_idle(WEBHOOK, 60.0, 10) == []
    await gates.close_gates(LEASE, [G1])  # no worker takes a closed job over
    await actions.server.pass_time(0.05)
    (taken,) = await queue.take_idle(WEBHOOK, 0.05, 10)
    assert taken == received[0]._replace(deliveries=2)


async def test_a_passed_gate_is_taken_over_only_after_its_time(actions: ActionBackend) -> None:
    gates, queue = await holder(actions), actions.queue()
    first, second = os.urandom(16), os.urandom(16)
    await gates.register(LEASE, [job(G0)])
    await pass_one(queue, G0, first)
    assert await queue.pass_gates([request(G0, second, after=60_000)]) == [Passed.REFUSED_PASSED]
    await actions.server.pass_time(0.06)
    assert await queue.pass_gates([request(G0, second, after=50)]) == [Passed.TAKEN_OVER]
    assert await finish(actions, queue, G0, first) is Finished.REFUSED  # late
    assert await finish(actions, queue, G0, second) is Finished.FINISHED


@pytest.mark.parametrize("is_closing", [False, True], ids=["live", "closed"])
async def test_a_gate_that_was_taken_over_is_not_opened_again(
    actions: ActionBackend, is_closing: bool
) -> None:
    """The worker before may have called the provider."""
    gates, queue = await holder(actions), actions.queue()
    second, third = os.urandom(16), os.urandom(16)
    await gates.register(LEASE, [job(G0)])
    await pass_one(queue, G0)
    if is_closing:
        await gates.close_gates(LEASE, [G0])
    await actions.server.pass_time(0.01)
    await queue.pass_gates([request(G0, second, after=0)])
    await queue.return_gates([(G0, second)])
    assert await queue.pass_gates([request(G0, third)]) == [Passed.REFUSED_PASSED]
    taken_over = Passed.TAKEN_OVER_CLOSED if is_closing else Passed.TAKEN_OVER
    await actions.server.pass_time(0.01)
    assert await queue.pass_gates([request(G0, third, after=0)]) == [taken_over]
    assert await finish(actions, queue, G0, third) is Finished.FINISHED


async def test_a_gate_is_not_called_again_after_it_was_closed(actions: ActionBackend) -> None:
    gates, queue, token = await holder(actions), actions.queue(), os.urandom(16)
    await gates.register(LEASE, [job(G0)])
    await pass_one(queue, G0)
    await gates.close_gates(LEASE, [G0])
    await actions.server.pass_time(0.01)
    assert await queue.pass_gates([request(G0, token, after=0)]) == [Passed.TAKEN_OVER_CLOSED]
    assert await finish(actions, queue, G0, token) is Finished.FINISHED


async def test_an_open_gate_is_passed_by_the_worker_that_claims_it(actions: ActionBackend) -> None:
    gates, queue = await holder(actions), actions.queue()
    await gates.register(LEASE, [job(G0)])
    assert await queue.pass_gates([request(G0, after=0)]) == [Passed.PASSED]
