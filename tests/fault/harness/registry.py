"""The registry of faults, and how one round of a fault runs.

A fault is a function that receives a `FaultContext` and injects a failure while events are
published; it returns when the fault is over. The rest is the same for every fault: probes are
sent, goald must become idle within 60 s, and the oracle judges.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from tests.fault.harness.environment import FaultEnvironment, daemon_environment
from tests.fault.harness.history import Shape, history
from tests.fault.harness.probes import ExitWatch, probes
from tests.fault.harness.workload import Probe, Workload

USUAL = Shape()
IDLE_DEADLINE_S = 60.0
"""After the end of the fault, lag and pending must be 0 and everything ready within this time."""
GRACE_S = 60.0
"""Additional time before the oracle judges a goald that is not idle."""


@dataclass(frozen=True)
class Round:
    """The result of one round of a fault."""

    lost: int = 0
    doubled: int = 0
    unjustified: int = 0
    recovery_s: float | None = None
    """From the end of the fault to the exits of all probes; None if they did not arrive."""
    idle_s: float | None = None
    """From the end of the fault until goald was idle; None if it never was."""
    note: str = ""
    exits: int = 0
    """Exits that the oracle expected, of this round and of those before."""

    @property
    def is_safe(self) -> bool:
        """Nothing was lost, doubled or unjustified."""
        return self.lost + self.doubled + self.unjustified == 0

    @property
    def is_live(self) -> bool:
        """goald recovered, and was idle in time."""
        return (
            self.recovery_s is not None
            and self.idle_s is not None
            and self.idle_s <= IDLE_DEADLINE_S
        )


@dataclass
class FaultContext:
    """The environment, the workload and the random numbers of one injection."""

    environment: FaultEnvironment
    workload: Workload
    probes: list[Probe]
    rng: random.Random
    ended: float = 0.0
    """The end of the fault by the monotonic clock. Recovery is measured from here."""
    notes: list[str] = field(default_factory=list)

    def end_fault(self) -> None:
        """Mark the end of the fault. By default a fault ends when its function returns."""
        self.ended = time.monotonic()

    @contextmanager
    def redis_loses_data(self) -> Iterator[None]:
        """Redis loses data inside the block. The producers pause before it, and then send the
        events of this round again, in order: a later event that reached Redis between the loss
        and the repetition would precede the earlier events of its contact. Messages of deleted
        contacts are not stored, so they cannot be published again."""
        with self.workload.paused():
            yield
            self.environment.oracle.forgive_the_deleted()
            self.workload.send_again()


_T = TypeVar("_T")
Injection: TypeAlias = Callable[[FaultContext], None]
EnvironmentFactory: TypeAlias = Callable[[], FaultEnvironment]
RunRound: TypeAlias = Callable[[FaultEnvironment, int], Round]
"""Runs one round in an environment, with a seed."""


@dataclass(frozen=True)
class Fault:
    """A registered fault."""

    name: str
    test_rounds: int
    """Rounds in `make test`."""
    torture_rounds: int
    """Rounds in `make torture`."""
    environment: EnvironmentFactory
    """Creates the environment; faults with the same factory share one."""
    run: RunRound


FAULTS: dict[str, Fault] = {}


def fault(
    name: str,
    *,
    test: int,
    torture: int,
    environment: EnvironmentFactory = daemon_environment,
    shape: Shape = USUAL,
    rate: float = 300.0,
) -> Callable[[Injection], Injection]:
    """Registers a function as a fault that is injected during a workload.

    `test` and `torture`: rounds in `make test` and `make torture`. `rate`: events per second that
    are published.
    """

    def register(inject: Injection) -> Injection:
        def run(target: FaultEnvironment, seed: int) -> Round:
            return run_round(target, seed, inject, shape=shape, rate=rate)

        return _register(Fault(name, test, torture, environment, run), inject)

    return register


def _register(new: Fault, function: _T) -> _T:
    assert new.name not in FAULTS, new.name
    FAULTS[new.name] = new
    return function


def run_round(
    environment: FaultEnvironment,
    seed: int,
    inject: Injection,
    *,
    shape: Shape = USUAL,
    rate: float = 300.0,
) -> Round:
    """Run a round: publish, inject the fault meanwhile, send probes, wait until idle, judge."""
    prefix = environment.prefix()
    rng = random.Random(seed)
    environment.start()
    environment.copy_redis()
    round_probes = probes(prefix)
    workload = Workload(
        environment.redis_url, history(seed, prefix, shape), round_probes, rate=rate
    )
    watch = ExitWatch(environment.redis_url)
    context = FaultContext(environment, workload, round_probes, rng)
    workload.start()
    try:
        # At a random point in the first half of the workload.
        workload.until_sent(rng.randrange(len(round_probes), len(workload.published) // 2))
        inject(context)
        if not context.ended:
            context.end_fault()
        workload.send_probes()
        expected = {probe.key for probe in round_probes}
        recovered = environment.until_exits(expected, watch, context.ended + IDLE_DEADLINE_S)
        recovery = time.monotonic() - context.ended if recovered else None
        workload.finish()
        is_idle = environment.until_idle(context.ended + IDLE_DEADLINE_S) or environment.until_idle(
            time.monotonic() + GRACE_S
        )
        idle = time.monotonic() - context.ended if is_idle else None
    except BaseException:
        workload.abandon()
        raise
    environment.oracle.feed(workload.published)
    verdict = environment.judge()
    return Round(
        lost=len(verdict.lost),
        doubled=len(verdict.doubled),
        unjustified=len(verdict.unjustified),
        recovery_s=recovery,
        idle_s=idle,
        note="; ".join([*context.notes, *([] if verdict.is_clean else [str(verdict)])]),
        exits=verdict.exits,
    )
