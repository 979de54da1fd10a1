"""`ports.Gates`: holders of slots (D3), and runs of Redis (D10)."""

import os
from collections.abc import Sequence

import pytest
from tests.contract.actions.backends import ActionBackend
from tests.contract.actions.gate_calls import (
    ALL,
    CLOSED,
    EMAIL,
    G0,
    G1,
    G2,
    LEASE,
    LOW,
    OPEN,
    SERIES,
    UNKNOWN,
    WEBHOOK,
    finish,
    holder,
    job,
    pass_one,
    request,
)

from goald.domain.actions.gates import GateId, gate_series
from goald.domain.errors import LeaseLost, ServerReplaced
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.ports.actions.gates import (
    Gates,
    Registration,
)
from goald.ports.actions.jobs import Finished, Passed

# Epochs


async def refused_calls(gates: Gates, lease: SlotLease, error: type[Exception]) -> None:
    with pytest.raises(error):
        await gates.register(lease, [job(G0)])
    with pytest.raises(error):
        await gates.close_gates(lease, [G1])


async def test_an_earlier_holder_is_refused(actions: ActionBackend) -> None:
    old = await holder(actions)
    await old.register(LEASE, [job(G1)])
    await holder(actions, SlotLease(SlotRange(64, 200), 9, "shard-9"))
    await refused_calls(old, LEASE, LeaseLost)
    with pytest.raises(LeaseLost):
        await old.fence(LEASE, SERIES)
    assert await old.states([G0, G1]) == [UNKNOWN, OPEN]


async def test_the_same_epoch_of_another_holder_is_refused(actions: ActionBackend) -> None:
    """A restored Postgres assigns epochs again (D10)."""
    await holder(actions)
    with pytest.raises(LeaseLost):
        await actions.gates().fence(LEASE, gate_series(7, b"\xff" * 4))


async def test_a_holder_may_fence_again(actions: ActionBackend) -> None:
    gates = await holder(actions)
    run = await gates.fence(LEASE, SERIES)
    assert run.is_continuous
    assert await gates.register(LEASE, [job(G0)]) == [Registration.REGISTERED]


async def test_a_takeover_leaves_the_gates_of_the_earlier_holder(actions: ActionBackend) -> None:
    old, queue = await holder(actions), actions.queue()
    await old.register(LEASE, [job(G0), job(G1)])
    lease, gates = SlotLease(ALL, 9, "shard-1"), actions.gates()
    other = SlotLease(SlotRange(128, 255), 8, "shard-2")
    await holder(actions, other)
    run = await gates.fence(lease, gate_series(9, b"\x00" * 4))
    assert run.is_continuous
    assert await pass_one(queue, G0) is Passed.PASSED  # also before `admit`
    assert await gates.admit(lease, run)
    assert await gates.close_gates(lease, [G1]) == [OPEN]


async def test_calls_before_a_fence_are_refused(actions: ActionBackend) -> None:
    await refused_calls(actions.gates(), LEASE, LeaseLost)


# The run of Redis (D10)


AGAIN = gate_series(7, b"\x05\x06\x07\x08")
NEW = GateId(AGAIN, 0)


async def test_gates_of_another_run_never_pass_and_new_ones_wait_for_the_holder(
    actions: ActionBackend,
) -> None:
    """The server may be an older copy, in which gates are open that were closed or passed."""
    gates, queue = await holder(actions), actions.queue()
    await gates.register(LEASE, [job(G0), job(G1)])
    await actions.restart()
    assert await pass_one(queue, G0) is Passed.NOT_ADMITTED
    await refused_calls(gates, LEASE, ServerReplaced)
    run = await gates.fence(LEASE, AGAIN)
    assert not run.is_continuous
    assert await pass_one(queue, G0) is Passed.NOT_ADMITTED
    await refused_calls(gates, LEASE, ServerReplaced)
    assert await gates.states([G0]) == [OPEN]
    assert await gates.admit(LEASE, run)
    assert await pass_one(queue, G0) is Passed.REFUSED_UNKNOWN
    assert await gates.states([G0]) == [CLOSED]
    assert await finish(actions, queue, G0, None) is Finished.FINISHED  # reported
    await gates.register(LEASE, [job(NEW)])
    assert await pass_one(queue, NEW) is Passed.PASSED
    later = SlotLease(LOW, 8, "shard-0")
    gates = await holder(actions, later, b"\x00" * 4)
    assert await pass_one(queue, G1) is Passed.REFUSED_UNKNOWN
    of_later = GateId(gate_series(8, b"\x00" * 4), 0)
    await gates.register(later, [job(of_later)])
    assert await pass_one(queue, of_later) is Passed.PASSED


async def test_a_call_that_began_under_another_run_may_finish(actions: ActionBackend) -> None:
    gates, queue, token = await holder(actions), actions.queue(), os.urandom(16)
    await gates.register(LEASE, [job(G0), job(G1)])
    await queue.pass_gates([request(G0, token), request(G1)])
    await actions.restart()
    assert await gates.admit(LEASE, await gates.fence(LEASE, AGAIN))
    await actions.server.pass_time(0.01)
    assert await pass_one(queue, G0) is Passed.REFUSED_PASSED
    assert await finish(actions, queue, G0, token) is Finished.FINISHED
    claimed = [request(G1, after=0)]
    assert await queue.pass_gates(claimed) == [Passed.REFUSED_UNKNOWN]
    assert await finish(actions, queue, G1, None) is Finished.FINISHED  # reported


async def test_a_server_that_was_a_replica_meanwhile_is_another_run(
    actions: ActionBackend,
) -> None:
    """The primary between may have closed gates that this one still has open."""
    gates, queue = await holder(actions), actions.queue()
    await gates.register(LEASE, [job(G0)])
    await actions.fail_over()
    assert await pass_one(queue, G0) is Passed.NOT_ADMITTED
    await refused_calls(gates, LEASE, ServerReplaced)
    assert not (await gates.fence(LEASE, AGAIN)).is_continuous


async def test_a_holder_that_died_before_it_admitted_leaves_the_gates_held(
    actions: ActionBackend,
) -> None:
    gates = await holder(actions)
    await actions.restart()
    await gates.fence(LEASE, AGAIN)
    lease = SlotLease(LOW, 9, "shard-0")
    run = await actions.gates().fence(lease, gate_series(9, b"\x00" * 4))
    assert not run.is_continuous


async def test_a_run_that_ended_meanwhile_is_not_admitted(actions: ActionBackend) -> None:
    gates = actions.gates()
    run = await gates.fence(LEASE, SERIES)
    assert not run.is_continuous
    await actions.flush()
    assert not await gates.admit(LEASE, run)
    run = await gates.fence(LEASE, AGAIN)
    assert not await gates.admit(LEASE, run._replace(run_id="e" * 16))
    assert await gates.admit(LEASE, run)


async def test_after_a_loss_of_data_no_gate_passes_and_no_job_is_registered(
    actions: ActionBackend,
) -> None:
    gates, queue = await holder(actions), actions.queue()
    await gates.register(LEASE, [job(G0)])
    await queue.receive([WEBHOOK], 10, 0.1)
    await actions.flush()
    assert await pass_one(queue, G0) is Passed.NOT_ADMITTED
    await refused_calls(gates, LEASE, ServerReplaced)
    assert await queue.receive([WEBHOOK], 10, 0.01) == []
    run = await gates.fence(LEASE, AGAIN)
    assert not run.is_continuous
    assert await gates.admit(LEASE, run)
    assert await pass_one(queue, G0) is Passed.REFUSED_UNKNOWN
    assert await gates.register(LEASE, [job(NEW)]) == [Registration.REGISTERED]
    assert len(await queue.receive([WEBHOOK], 10, 1.0)) == 1


async def test_slots_of_other_holders_stay_held(actions: ActionBackend) -> None:
    gates, queue = await holder(actions), actions.queue()
    await gates.register(LEASE, [job(G0)])
    answers: Sequence[Passed] = await queue.pass_gates([request(G0, slot=200)])
    assert answers == [Passed.NOT_ADMITTED]


async def test_a_worker_receives_jobs_of_several_types(actions: ActionBackend) -> None:
    gates, queue = await holder(actions), actions.queue()
    await gates.register(LEASE, [job(G0), job(G1, EMAIL), job(G2)])
    received = await queue.receive([WEBHOOK, EMAIL], 1, 0.1)
    assert [(each.action, each.payload) for each in received] == [
        (WEBHOOK, job(G0).payload.encode()),
        (EMAIL, job(G1).payload.encode()),
    ]
    assert len(await queue.receive([WEBHOOK, EMAIL], 5, 0.1)) == 1
