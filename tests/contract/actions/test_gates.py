"""`ports.Gates` and `ports.JobQueue`: the protocol of gates (X2, X4, X11, X16)."""

import os
from collections.abc import Sequence

import pytest
from tests.contract.actions.backends import ActionBackend

from goald.domain.actions.gates import ActionType, GateId, gate_series
from goald.domain.errors import LeaseLost, ServerReplaced
from goald.domain.ids import TenantId, WorkflowId
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.ports.actions.gates import (
    Gates,
    GateState,
    GateStatus,
    JobEntry,
    Registration,
)
from goald.ports.actions.jobs import Finished, JobQueue, JobResult, Passed, PassRequest
from goald.redis_keys import NEXT_STREAMS, action_stream, event_stream

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


# Registering


async def test_a_registered_job_is_in_its_stream_and_its_gate_is_open(
    actions: ActionBackend,
) -> None:
    gates = await holder(actions)
    answers = await gates.register(LEASE, [job(G0), job(G1, EMAIL)])
    assert answers == [Registration.REGISTERED] * 2
    assert await gates.states([G0, G1, G2]) == [OPEN, OPEN, UNKNOWN]
    assert await jobs_in(actions) == [job(G0).payload.encode()]
    assert await jobs_in(actions, EMAIL) == [job(G1).payload.encode()]


async def test_registering_a_job_again_changes_nothing(actions: ActionBackend) -> None:
    gates, queue = await holder(actions), actions.queue()
    await gates.register(LEASE, [job(G0)])
    assert await gates.register(LEASE, [job(G0)]) == [Registration.EXISTS]
    token = os.urandom(16)
    await pass_one(queue, G0, token)
    assert await gates.register(LEASE, [job(G0)]) == [Registration.EXISTS]
    assert len(await jobs_in(actions)) == 1
    await finish(actions, queue, G0, token)
    assert await gates.register(LEASE, [job(G0)]) == [Registration.EXISTS]
    assert await jobs_in(actions) == []


async def test_a_job_that_is_out_for_long_is_not_registered_again(actions: ActionBackend) -> None:
    """It may be open or passed for longer than closed gates are kept."""
    gates, queue = await holder(actions), actions.queue()
    await gates.register(LEASE, [job(G0), job(G1)])
    await pass_one(queue, G1)
    await actions.forget_ended()
    assert await gates.register(LEASE, [job(G0), job(G1)]) == [Registration.EXISTS] * 2
    assert len(await jobs_in(actions)) == 2
    answers = await gates.register(LEASE, [job(G2, replaces=G1)])
    assert answers == [Registration.REPLACED_IS_LIVE]
    assert await pass_one(queue, G1) is Passed.REFUSED_PASSED


async def test_a_job_that_is_twice_in_a_call_is_registered_once(actions: ActionBackend) -> None:
    gates = await holder(actions)
    answers = await gates.register(LEASE, [job(G0), job(G0)])
    assert answers == [Registration.REGISTERED, Registration.EXISTS]
    assert len(await jobs_in(actions)) == 1


async def test_a_job_whose_gate_was_closed_before_is_never_published(
    actions: ActionBackend,
) -> None:
    """The exit overtakes the publication of the job: a tombstone."""
    gates, queue = await holder(actions), actions.queue()
    assert await gates.close_gates(LEASE, [G0]) == [UNKNOWN]
    assert await gates.register(LEASE, [job(G0), job(G1)]) == [
        Registration.EXISTS,
        Registration.REGISTERED,
    ]
    assert await jobs_in(actions) == [job(G1).payload.encode()]
    assert await pass_one(queue, G0) is Passed.REFUSED_CLOSED


async def test_many_jobs_are_registered_and_closed_in_one_call(actions: ActionBackend) -> None:
    gates = await holder(actions)
    many = [GateId(SERIES, number) for number in range(8_000, 10_500)]
    assert await gates.register(LEASE, [job(gate) for gate in many]) == (
        [Registration.REGISTERED] * 2_500
    )
    assert await gates.close_gates(LEASE, many) == [OPEN] * 2_500
    assert await gates.states(many) == [CLOSED] * 2_500
    assert await jobs_in(actions) == []
    neighbours = [GateId(SERIES, 7_999), GateId(SERIES, 10_500)]
    assert await gates.states(neighbours) == [UNKNOWN] * 2


async def test_gates_of_two_series_are_independent(actions: ActionBackend) -> None:
    gates = await holder(actions)
    other = GateId(gate_series(7, b"\x00" * 4), 0)
    await gates.close_gates(LEASE, [G0])
    assert await gates.states([G0, other]) == [CLOSED, UNKNOWN]


# Passing and finishing


async def test_a_gate_passes_once(actions: ActionBackend) -> None:
    gates, queue, other = await holder(actions), actions.queue(), actions.queue("worker-2")
    await gates.register(LEASE, [job(G0), job(G1)])
    twice = [request(G0), request(G0), request(G1)]
    assert await queue.pass_gates(twice) == [
        Passed.PASSED,
        Passed.REFUSED_PASSED,
        Passed.PASSED,
    ]
    assert await pass_one(other, G0) is Passed.REFUSED_PASSED


async def test_an_unknown_gate_does_not_pass(actions: ActionBackend) -> None:
    await holder(actions)
    assert await pass_one(actions.queue(), G0) is Passed.REFUSED_UNKNOWN


async def test_an_expired_gate_does_not_pass(actions: ActionBackend) -> None:
    gates, queue, now = await holder(actions), actions.queue(), await actions.now_ms()
    expired = JobEntry(G0, WEBHOOK, "{}", expires_at_ms=now - 1)
    later = JobEntry(G1, WEBHOOK, "{}", expires_at_ms=now + 60_000)
    await gates.register(LEASE, [expired, later])
    answers = await queue.pass_gates([request(G0), request(G1)])
    assert answers == [Passed.REFUSED_EXPIRED, Passed.PASSED]


async def test_a_gate_of_an_inactive_workflow_does_not_pass_until_it_is_active(
    actions: ActionBackend,
) -> None:
    gates, queue = await holder(actions), actions.queue()
    await gates.register(LEASE, [job(G0)])
    others = [(TenantId("acmen"), WorkflowId("urture")), (ACME, WorkflowId("other"))]
    await gates.set_active(others, is_active=False)
    await gates.set_active([(ACME, NURTURE)], is_active=False)
    assert await pass_one(queue, G0) is Passed.REFUSED_INACTIVE
    await gates.set_active([(ACME, NURTURE)], is_active=True)
    assert await pass_one(queue, G0) is Passed.PASSED


async def test_a_result_is_published_when_its_gate_finishes(actions: ActionBackend) -> None:
    gates, queue, token = await holder(actions), actions.queue(), os.urandom(16)
    await gates.register(LEASE, [job(G0)])
    await queue.receive([WEBHOOK], 10, 0.1)
    await pass_one(queue, G0, token)
    assert await finish(actions, queue, G0, token, b'{"n": 1}') is Finished.FINISHED
    assert await results(actions) == [b'{"n": 1}']
    assert await jobs_in(actions) == []
    assert await gates.states([G0]) == [FINISHED]
    assert await pass_one(queue, G0) is Passed.REFUSED_FINISHED
    await actions.server.pass_time(0.01)
    assert await queue.take_idle(WEBHOOK, 0.0, 10) == []


async def test_a_result_that_is_sent_again_is_published_once(actions: ActionBackend) -> None:
    gates, queue, token = await holder(actions), actions.queue(), os.urandom(16)
    await gates.register(LEASE, [job(G0)])
    await pass_one(queue, G0, token)
    assert await finish(actions, queue, G0, token) is Finished.FINISHED
    assert await finish(actions, queue, G0, token) is Finished.REPEATED
    assert len(await results(actions)) == 1


async def test_the_change_that_an_action_makes_precedes_its_result(
    actions: ActionBackend,
) -> None:
    gates, queue, token = await holder(actions), actions.queue(), os.urandom(16)
    await gates.register(LEASE, [job(G0)])
    await pass_one(queue, G0, token)
    entry = await entry_of(actions, G0)
    result = JobResult(G0, SLOT, token, WEBHOOK, entry, b"result", b"change")
    assert await queue.finish([result]) == [Finished.FINISHED]
    assert await queue.finish([result]) == [Finished.REPEATED]
    assert await results(actions) == [b"change", b"result"]


async def test_an_entry_that_is_no_job_can_be_discarded(actions: ActionBackend) -> None:
    queue = actions.queue()
    await actions.server.add(action_stream(WEBHOOK), [b"?"])
    (received,) = await queue.receive([WEBHOOK], 10, 0.1)
    await queue.discard(received)
    assert await jobs_in(actions) == []
    await actions.server.pass_time(0.01)
    assert await queue.take_idle(WEBHOOK, 0.0, 10) == []


async def test_a_result_with_another_token_changes_nothing(actions: ActionBackend) -> None:
    gates, queue, token = await holder(actions), actions.queue(), os.urandom(16)
    await gates.register(LEASE, [job(G0), job(G1)])
    await pass_one(queue, G0, token)
    for other in (os.urandom(16), None):
        assert await finish(actions, queue, G0, other) is Finished.REFUSED
    assert await finish(actions, queue, G1, token) is Finished.REFUSED  # it is open
    assert await results(actions) == []
    assert len(await jobs_in(actions)) == 2


async def test_a_job_that_was_refused_is_reported_and_its_gate_closed(
    actions: ActionBackend,
) -> None:
    gates, queue = await holder(actions), actions.queue()
    await gates.register(LEASE, [job(G0)])
    assert await finish(actions, queue, G0, None, b"refused") is Finished.FINISHED
    assert await results(actions) == [b"refused"]
    assert await gates.states([G0]) == [CLOSED]
    assert await jobs_in(actions) == []


async def test_a_closed_job_is_reported_too(actions: ActionBackend) -> None:
    """The worker received it before it was closed."""
    gates, queue = await holder(actions), actions.queue()
    await gates.register(LEASE, [job(G0)])
    await gates.close_gates(LEASE, [G0])
    assert await finish(actions, queue, G0, None, b"refused") is Finished.FINISHED
    assert await gates.states([G0]) == [CLOSED]
    assert await results(actions) == [b"refused"]


async def test_a_result_whose_gate_was_lost_is_published(actions: ActionBackend) -> None:
    gates, queue, token = await holder(actions), actions.queue(), os.urandom(16)
    await gates.register(LEASE, [job(G0)])
    await pass_one(queue, G0, token)
    await actions.flush()
    assert await finish(actions, queue, G0, token, b"done") is Finished.FINISHED
    assert await results(actions) == [b"done"]
    assert await gates.states([G0]) == [FINISHED]


async def test_results_wait_while_the_number_of_streams_changes(any_redis_url: str) -> None:
    """A result must not overtake an earlier event of its contact."""
    from tests.contract.actions.backends import RedisActionBackend

    actions = RedisActionBackend(any_redis_url)
    gates, queue, token = await holder(actions), actions.queue(), os.urandom(16)
    await gates.register(LEASE, [job(G0)])
    await pass_one(queue, G0, token)
    client = actions.server.client
    await client.set(NEXT_STREAMS, 5, px=250)
    await client.set("goald:streams", 3)
    assert await finish(actions, queue, G0, token, b"done") is Finished.FINISHED
    assert await client.exists(NEXT_STREAMS) == 0
    assert await client.xlen(event_stream(SLOT % 3)) == 1
    await actions.close()


# Closing


async def test_a_closed_gate_does_not_pass_and_its_job_is_removed(actions: ActionBackend) -> None:
    gates, queue = await holder(actions), actions.queue()
    await gates.register(LEASE, [job(G0), job(G1, EMAIL)])
    assert await gates.close_gates(LEASE, [G0, G1]) == [OPEN, OPEN]
    assert await gates.close_gates(LEASE, [G0, G1]) == [CLOSED, CLOSED]
    assert await jobs_in(actions) == await jobs_in(actions, EMAIL) == []
    assert await pass_one(queue, G0) is Passed.REFUSED_CLOSED


async def test_closing_a_passed_gate_returns_how_long_ago_it_was_passed(
    actions: ActionBackend,
) -> None:
    gates, queue, token = await holder(actions), actions.queue(), os.urandom(16)
    await gates.register(LEASE, [job(G0)])
    await pass_one(queue, G0, token)
    await actions.server.pass_time(0.05)
    (before,) = await gates.close_gates(LEASE, [G0])
    assert before.status is GateStatus.PASSED
    assert 50 <= before.passed_ms < 60_000
    assert len(await jobs_in(actions)) == 1  # its worker finishes it
    assert await finish(actions, queue, G0, token) is Finished.FINISHED
    assert await gates.close_gates(LEASE, [G0]) == [FINISHED]


async def test_a_gate_that_has_returned_can_be_passed_by_another_token(
    actions: ActionBackend,
) -> None:
    gates, queue, token = await holder(actions), actions.queue(), os.urandom(16)
    await gates.register(LEASE, [job(G0)])
    await pass_one(queue, G0, token)
    await queue.return_gates([(G0, os.urandom(16))])  # another worker's token
    assert (await gates.states([G0]))[0].status is GateStatus.PASSED
    await queue.return_gates([(G0, token)])
    assert await gates.states([G0]) == [OPEN]
    assert await pass_one(queue, G0) is Passed.PASSED


async def test_a_request_that_arrives_after_its_gate_was_returned_does_not_pass(
    actions: ActionBackend,
) -> None:
    """The worker lost the connection, and the server reads its last request late."""
    gates, queue, token = await holder(actions), actions.queue(), os.urandom(16)
    await gates.register(LEASE, [job(G0)])
    await queue.return_gates([(G0, token)])
    assert await pass_one(queue, G0, token) is Passed.REFUSED_CLOSED
    assert await pass_one(queue, G0) is Passed.PASSED


async def test_a_gate_that_has_returned_after_it_was_closed_stays_closed(
    actions: ActionBackend,
) -> None:
    """It must not pass after the exit's commit."""
    gates, queue, token = await holder(actions), actions.queue(), os.urandom(16)
    await gates.register(LEASE, [job(G0)])
    await pass_one(queue, G0, token)
    await gates.close_gates(LEASE, [G0])
    await queue.return_gates([(G0, token)])
    assert await gates.states([G0]) == [CLOSED]
    assert await pass_one(queue, G0) is Passed.REFUSED_CLOSED


# Another attempt


async def test_a_closed_job_is_granted_again_under_the_next_attempt(
    actions: ActionBackend,
) -> None:
    gates, queue = await holder(actions), actions.queue()
    await gates.register(LEASE, [job(G0)])
    await gates.close_gates(LEASE, [G0])
    again = job(G1, replaces=G0)
    assert await gates.register(LEASE, [again]) == [Registration.REGISTERED]
    assert await pass_one(queue, G1) is Passed.PASSED
    assert await pass_one(queue, G0) is Passed.REFUSED_CLOSED


async def test_a_job_is_not_granted_again_while_an_earlier_attempt_may_take_effect(
    actions: ActionBackend,
) -> None:
    gates, queue, token = await holder(actions), actions.queue(), os.urandom(16)
    await gates.register(LEASE, [job(G0)])
    again, live = job(G1, replaces=G0), [Registration.REPLACED_IS_LIVE]
    assert await gates.register(LEASE, [again]) == live
    await pass_one(queue, G0, token)
    assert await gates.register(LEASE, [again]) == live
    await gates.close_gates(LEASE, [G0])
    assert await gates.register(LEASE, [job(G2), again]) == [Registration.REGISTERED, *live]
    await finish(actions, queue, G0, token)
    assert await gates.register(LEASE, [again]) == live
    assert await gates.states([G1]) == [UNKNOWN]


# A worker dies


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
