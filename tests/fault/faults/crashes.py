"""A crash at each named step between two effects (D1, D2)."""

import json
from functools import partial

from tests.fault.harness.history import Event, Shape, started
from tests.fault.harness.one_process import STREAMS, Crash, OneProcess
from tests.fault.harness.registry import FAULTS, Act, Fault, Round, play_round
from tests.fault.harness.servers import until
from tests.fault.harness.stage import Stage, plain_stage
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
"""Steps that a process takes once, or once whenever it is made to."""
EACH_STREAM = {FailPoint.STREAM_LEASE_ACQUIRED, FailPoint.STREAM_FENCED}
"""Steps that it takes once for each stream."""
MANY = 6
BACKENDS_END = 0.2
"""How likely a commit's backend is ended: seldom enough that what it makes necessary succeeds."""


SHAPE = Shape(contacts=12, deletions=False)


def crash_at(step: FailPoint, stage: Stage, seed: int) -> Round:
    """A process that dies at a step amid events, and the one after it, which does not; in one
    round of four that one dies too, at another step."""
    play = partial(_crash, step)
    return play_round(stage, seed, play, shape=SHAPE, rate=200.0)


def _crash(step: FailPoint, act: Act) -> None:
    engine = _engine(act)
    steps = [step]
    if act.rng.random() < 0.25:
        steps.append(act.rng.choice([other for other in FailPoint if other not in ONCE]))
    engine.kill()
    for each in steps:
        crash = Crash(each, act.rng.randint(1, _most(each)))
        act.notes.append(f"{each.name} {crash.nth}")
        engine.start(crash)
        until(f"crash at {crash}", partial(_has_died, act, crash))
    act.over()
    engine.start()


def _most(step: FailPoint) -> int:
    """How many times a process takes a step for sure, if it is given enough to do."""
    if step in ONCE:
        return 1
    return STREAMS if step in EACH_STREAM else MANY


def _has_died(act: Act, crash: Crash) -> bool:
    """Whether it has; until then it is given what makes it take the step."""
    engine = _engine(act)
    if not engine.is_running:
        if engine.was_killed:
            return True
        engine.start(crash)  # an error that ends it is no fault: it is started again
    step = crash.step
    if step is FailPoint.RELOADED:
        act.workload.insert_filler(effective=True)
        if act.rng.random() < BACKENDS_END:
            for pid in act.stage.servers.postgres.backends():
                act.stage.servers.postgres.sql("SELECT pg_terminate_backend(%s)", pid)
    elif step is FailPoint.CONFIGURATION_APPLIED:
        act.stage.configure(_unrelated(act.rng.randrange(10**9)))
    elif step is FailPoint.REJECTS_DEAD_LETTERED:
        _send_garbage(act)
    elif step is FailPoint.GROUP_DEAD_LETTERED:
        act.workload.insert(_conflict(act))
    elif step is FailPoint.REPUBLISHED and not act.notes[-1].endswith("flushed"):
        act.notes[-1] += ", Redis flushed"
        with act.stage.servers.redis.client() as client:
            client.flushall()
        act.redis_lost_data()
    else:
        act.workload.insert_filler(effective=step is not FailPoint.LEASE_CHECKED)
    return False


def _engine(act: Act) -> OneProcess:
    engine = act.stage.engine
    assert isinstance(engine, OneProcess)
    return engine


def _unrelated(number: int) -> str:
    """Workflows of a tenant that nothing happens to."""
    workflow = {"id": "w", "name": f"Of {number}", "goal_logic": "any", "active": False}
    return json.dumps({"tenant": f"other-{number}", "workflows": [workflow]})


def _send_garbage(act: Act) -> None:
    """Something that is no event, to every stream."""
    with act.stage.servers.redis.client() as client:
        for number in range(STREAMS):
            garbage = f"garbage {act.rng.randrange(10**9)}".encode()
            act.stage.oracle.feed_garbage(garbage)
            client.xadd(event_stream(number), {FIELD: garbage})


def _conflict(act: Act) -> Event:
    """A probe's enrollment under another workflow: it has been refused before it is sent."""
    tenant, enrollment = (probe := act.probes[0]).key
    contact = probe.enrolled["data"]["contact_id"]
    event_id = f"{enrollment}-{act.rng.randrange(10**9)}"
    return started(tenant, contact, enrollment, "first-order", PROBES_BEGIN, event_id)


for _step in FailPoint:
    FAULTS[f"crash: {_step.name}"] = Fault(
        f"crash: {_step.name}", 1, 20, plain_stage, partial(crash_at, _step)
    )
