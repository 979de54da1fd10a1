"""`ports.Gates` and `ports.JobQueue`: registering, passing and closing gates (X2, X11, X16)."""

import os

from tests.contract.actions.backends import ActionBackend
from tests.contract.actions.gate_calls import (
    ACME,
    CLOSED,
    EMAIL,
    FINISHED,
    G0,
    G1,
    G2,
    LEASE,
    NURTURE,
    OPEN,
    SERIES,
    SLOT,
    UNKNOWN,
    WEBHOOK,
    entry_of,
    finish,
    holder,
    job,
    jobs_in,
    pass_one,
    request,
    results,
)

from goald.domain.actions.gates import GateId, gate_series
from goald.domain.ids import TenantId, WorkflowId
from goald.ports.actions.gates import (
    GateStatus,
    JobEntry,
    Registration,
)
from goald.ports.actions.jobs import Finished, JobResult, Passed
from goald.redis_keys import NEXT_STREAMS, action_stream, event_stream

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
