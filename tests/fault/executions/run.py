"""One run of races in `goald serve`, with faults all the while."""

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.fault.executions.disturbances import Disturbances
from tests.fault.executions.oracle import Verdict, judge
from tests.fault.executions.recording import recording
from tests.fault.executions.workload import SLOW, Races
from tests.fault.harness.environment import FaultEnvironment
from tests.fault.harness.registry import IDLE_DEADLINE_S


@dataclass
class RunResult:
    """The verdict on a run."""

    races: int
    verdict: Verdict
    faults: Counter[str]
    idle_s: float | None
    """From the last event and the last fault until goald had processed all events; None if it
    had not within a minute."""
    end_s: float | None
    """The same, until the last execution had ended; None if some did not end."""

    @property
    def is_correct(self) -> bool:
        return not self.verdict.errors and None not in (self.idle_s, self.end_s)


def run(
    target: FaultEnvironment,
    count: int,
    rng: random.Random,
    *,
    rate: float,
    pause_s: tuple[float, float],
    finishing: float,
    faults: Sequence[str] = (),
    slow: float = SLOW,
    seconds: float | None = None,
) -> RunResult:
    """Run races in an environment of `daemon_races`. `pause_s`: the shortest and the longest pause
    between two faults. `faults`: these, one after another; none: at random. `slow`: see SLOW.
    `seconds`: no race begins later than this after the start. Must be called on the main
    thread."""
    until = time.monotonic() + (seconds or float("inf"))
    prefix = target.prefix()
    with recording(target, prefix, slow) as record:
        target.start()
        races = Races(target.redis_url, prefix, count, rate, rng, finishing=finishing)
        disturbances = Disturbances(target, races, record.log, rng)
        races.start()
        try:
            with record.ended_counter(races):
                _disturb(disturbances, races, list(faults), lambda: rng.uniform(*pause_s), until)
        finally:
            races.stop()
        began = time.monotonic()
        is_idle = target.until_idle(began + IDLE_DEADLINE_S)
        idle_s = time.monotonic() - began if is_idle else None
        has_ended = record.until_ended(races)
        end_s = time.monotonic() - began if has_ended else None
        evidence = record.evidence(races, disturbances.stops)
    return RunResult(len(races.started), judge(evidence), disturbances.counts, idle_s, end_s)


def _disturb(
    disturbances: Disturbances,
    races: Races,
    faults: list[str],
    pause: Callable[[], float],
    until: float,
) -> None:
    """Inject faults until all events are sent, and all of `faults` were injected."""
    is_random = not faults
    disturbances.wait(pause())
    while not races.is_done or faults:
        if time.monotonic() > until:
            races.finish()
        if is_random:
            disturbances.inject_any()
        elif faults:
            disturbances.inject(faults.pop(0))
        disturbances.wait(pause())
