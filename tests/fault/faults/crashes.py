"""A crash at each fail point between two effects (D1, D2)."""

import json
from functools import partial

from tests.fault.harness.environment import FaultEnvironment, single_process_environment
from tests.fault.harness.history import Event, Shape, started
from tests.fault.harness.registry import FAULTS, Fault, FaultContext, Round, run_round
from tests.fault.harness.servers import until
from tests.fault.harness.single_process import STREAMS, Crash, SingleProcess
from tests.fault.harness.workload import PROBES_BEGIN

from goald.domain.fail_points import FailPoint
from goald.redis_keys import FIELD, event_stream

ONCE = {
    FailPoint.SLOT_LEASE_ACQUIRED,
    FailPoint.LOADED,
    FailPoint.BACKLOG_PUBLISHED,
    FailPoint.REPUBLISHED,
    FailPoint.RELOADED,
    FailPoint.CONFIGURATION_APPLIED,
}
"""Fail points that a process reaches once, or once each time that it is made to."""
OF_MERGES = {
    FailPoint.TRANSFER_WRITTEN,
    FailPoint.TRANSFERRED,
    FailPoint.FORWARDED,
    FailPoint.REDELIVERED,
}
"""Fail points that a process reaches when a contact is merged into another."""
OF_EXECUTIONS = {
    FailPoint.GATES_FENCED,
    FailPoint.PERMITS_REPORTED,
    FailPoint.GATES_ADMITTED,
    FailPoint.PERMITS_TAKEN,
    FailPoint.GATES_CLOSED,
    FailPoint.JOBS_REGISTERED,
    FailPoint.PERMITS_RETURNED,
}
"""Fail points that a process reaches when it runs workflows; see `execution_crashes`."""
WITHOUT_EXECUTIONS = [each for each in FailPoint if each not in OF_EXECUTIONS]
EACH_STREAM = {FailPoint.STREAM_LEASE_ACQUIRED, FailPoint.STREAM_FENCED}
"""Fail points that a process reaches once for each stream."""
MANY = 6
BACKENDS_END = 0.2
"""Probability that the backend of a commit is ended; low enough that the reload succeeds."""


SHAPE = Shape(contacts=12, deletions=False)


def crash_at(fail_point: FailPoint, environment: FaultEnvironment, seed: int) -> Round:
    """A process dies at a fail point while it processes events, and its successor continues. In
    one of four rounds a successor dies too, at another fail point."""
    inject = partial(_crash, fail_point)
    return run_round(environment, seed, inject, shape=SHAPE, rate=200.0)


def _crash(fail_point: FailPoint, context: FaultContext) -> None:
    goald = _process(context)
    fail_points = [fail_point]
    if context.rng.random() < 0.25:
        fail_points.append(
            context.rng.choice([other for other in WITHOUT_EXECUTIONS if other not in ONCE])
        )
    goald.kill()
    for each in fail_points:
        crash = Crash(each, context.rng.randint(1, _max_nth(each)))
        context.notes.append(f"{each.name} {crash.nth}")
        goald.start(crash)
        until(f"crash at {crash}", partial(_has_died, context, crash))
    context.end_fault()
    goald.start()


def _max_nth(fail_point: FailPoint) -> int:
    """How often a process certainly reaches a fail point if it has enough to do."""
    if fail_point in ONCE:
        return 1
    return STREAMS if fail_point in EACH_STREAM else MANY


def _has_died(context: FaultContext, crash: Crash) -> bool:
    """Whether the process has died. If not, cause something that makes it reach the fail point."""
    goald = _process(context)
    if not goald.is_running:
        if goald.was_killed:
            return True
        goald.start(crash)  # it ended by an error, not by the crash
    fail_point = crash.fail_point
    if fail_point is FailPoint.RELOADED:
        context.workload.insert_filler(effective=True)
        if context.rng.random() < BACKENDS_END:
            for pid in context.environment.servers.postgres.backends():
                context.environment.servers.postgres.sql("SELECT pg_terminate_backend(%s)", pid)
    elif fail_point in OF_MERGES:
        context.workload.insert_merge()
    elif fail_point is FailPoint.CONFIGURATION_APPLIED:
        context.environment.configure(_unrelated(context.rng.randrange(10**9)))
    elif fail_point is FailPoint.REJECTS_DEAD_LETTERED:
        _send_garbage(context)
    elif fail_point is FailPoint.GROUP_DEAD_LETTERED:
        context.workload.insert(_conflict(context))
    elif fail_point is FailPoint.REPUBLISHED and not context.notes[-1].endswith("flushed"):
        context.notes[-1] += ", Redis flushed"
        with context.redis_loses_data(), context.environment.servers.redis.client() as client:
            client.flushall()
    else:
        context.workload.insert_filler(effective=fail_point is not FailPoint.LEASE_CHECKED)
    return False


def _process(context: FaultContext) -> SingleProcess:
    goald = context.environment.goald
    assert isinstance(goald, SingleProcess)
    return goald


def _unrelated(number: int) -> str:
    """The configuration of a tenant without events."""
    workflow = {"id": "w", "name": f"Number {number}", "goal_logic": "any", "active": False}
    return json.dumps({"tenant": f"other-{number}", "workflows": [workflow]})


def _send_garbage(context: FaultContext) -> None:
    """Add an entry that is not an event to every stream."""
    with context.environment.servers.redis.client() as client:
        for number in range(STREAMS):
            garbage = f"garbage {context.rng.randrange(10**9)}".encode()
            context.environment.oracle.feed_garbage(garbage)
            client.xadd(event_stream(number), {FIELD: garbage})


def _conflict(context: FaultContext) -> Event:
    """A probe's enrollment id under another workflow, which is dead-lettered."""
    tenant, enrollment = (probe := context.probes[0]).key
    contact = probe.enrolled["data"]["contact_id"]
    event_id = f"{enrollment}-{context.rng.randrange(10**9)}"
    return started(tenant, contact, enrollment, "first-order", PROBES_BEGIN, event_id)


for _fail_point in WITHOUT_EXECUTIONS:
    FAULTS[f"crash: {_fail_point.name}"] = Fault(
        f"crash: {_fail_point.name}",
        1,
        20,
        single_process_environment,
        partial(crash_at, _fail_point),
    )
