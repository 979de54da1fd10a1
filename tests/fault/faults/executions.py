"""Races of exits against calls that are due, with all faults; see `tests.fault.executions`."""

import random
from collections.abc import Sequence
from functools import partial

from tests.fault.executions.environments import daemon_races
from tests.fault.executions.rounds import round_of
from tests.fault.executions.run import run
from tests.fault.executions.workload import FINISHING
from tests.fault.harness.environment import FaultEnvironment
from tests.fault.harness.registry import FAULTS, Fault, Round

RATE = 100.0
SHORT = ("SIGSTOP of a worker", "kill -9 of a worker", "FLUSHALL", "kill -9 of a shard")
"""The faults of the short run. No execution of it waits for the timeout of a killed worker's job,
because each contact meets the goal."""


def _race(
    races: int,
    finishing: float,
    pause_s: tuple[float, float],
    faults: Sequence[str],
    target: FaultEnvironment,
    seed: int,
) -> Round:
    rng = random.Random(seed)
    result = run(target, races, rng, rate=RATE, pause_s=pause_s, finishing=finishing, faults=faults)
    return round_of(result.verdict, result.idle_s)


for _races, _test, _torture, _run in (
    (300, 1, 0, partial(_race, 300, 0.0, (0.3, 0.6), SHORT)),
    (20_000, 0, 1, partial(_race, 20_000, FINISHING, (1.5, 5.0), ())),
):
    _name = f"{_races} exits race against calls: all faults"
    FAULTS[_name] = Fault(_name, _test, _torture, daemon_races, _run)
