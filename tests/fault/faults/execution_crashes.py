"""A crash at each fail point between two effects of executions (X1, X2, X8)."""

import random
import time
from functools import partial

from tests.fault.executions.environments import single_process_races, worker
from tests.fault.executions.oracle import judge
from tests.fault.executions.recording import recording
from tests.fault.executions.rounds import round_of
from tests.fault.executions.workload import Races
from tests.fault.faults.crashes import OF_EXECUTIONS
from tests.fault.harness.environment import FaultEnvironment
from tests.fault.harness.registry import FAULTS, IDLE_DEADLINE_S, Fault, Round
from tests.fault.harness.servers import until
from tests.fault.harness.single_process import Crash, SingleProcess

from goald.domain.fail_points import FailPoint

AT_START = {FailPoint.GATES_FENCED, FailPoint.PERMITS_REPORTED, FailPoint.GATES_ADMITTED}
"""Fail points that a process reaches once."""
RACES, RATE = 60, 60.0


def crash_at(fail_point: FailPoint, target: FaultEnvironment, seed: int) -> Round:
    """A process dies at a fail point while exits race against calls, and its successor continues.
    The worker is another process."""
    rng = random.Random(seed)
    prefix, goald = target.prefix(), target.goald
    assert isinstance(goald, SingleProcess)
    with recording(target, prefix) as record, worker(target):
        goald.kill()
        is_at_start = fail_point in AT_START
        crash = Crash(fail_point, 1 if is_at_start else rng.randint(1, 4))
        goald.start(crash)
        if not is_at_start:
            until("start", target.is_ready)
        races = Races(target.redis_url, prefix, RACES, RATE, rng, finishing=0.0)
        races.start()
        try:
            until(f"crash at {crash}", lambda: not goald.is_running)
            assert goald.was_killed, goald.printed()
            goald.start()
            until("last event", lambda: races.is_done)
        finally:
            races.stop()
        began = time.monotonic()
        is_idle = target.until_idle(began + IDLE_DEADLINE_S)
        idle_s = time.monotonic() - began if is_idle else None
        record.until_ended(races)
        return round_of(judge(record.evidence(races)), idle_s)


for _fail_point in sorted(OF_EXECUTIONS, key=lambda each: each.name):
    FAULTS[f"crash: {_fail_point.name}"] = Fault(
        f"crash: {_fail_point.name}",
        1,
        20,
        single_process_races,
        partial(crash_at, _fail_point),
    )
