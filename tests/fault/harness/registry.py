"""The faults, by name, and how a round of one is played.

A fault is a function that is given an `Act` and does its worst to it while events are published;
it returns when it is over. What follows is the same for all: probes are sent, everything must
come to rest within 60 s, and the oracle judges.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from tests.fault.harness.history import Shape, history
from tests.fault.harness.probes import ExitWatch, probes
from tests.fault.harness.stage import Stage, daemon_stage
from tests.fault.harness.workload import Probe, Workload

USUAL = Shape()
REST_S = 60.0
"""Within which, after the last fault, lag and pending are 0 and all is ready."""
GRACE_S = 60.0
"""More of it before the oracle judges what has not come to rest."""


@dataclass(frozen=True)
class Round:
    """How one round of a fault went."""

    lost: int = 0
    doubled: int = 0
    unjustified: int = 0
    recovery_s: float | None = None
    """From the end of the fault to the exits of all probes; None where they did not come."""
    rest_s: float | None = None
    """From the end of the fault until everything was at rest; None where it never was."""
    note: str = ""
    exits: int = 0
    """How many exits the oracle has looked for, of this round and those before."""

    @property
    def is_safe(self) -> bool:
        """Nothing lost, doubled or unjustified."""
        return self.lost + self.doubled + self.unjustified == 0

    @property
    def is_live(self) -> bool:
        """It came to rest in time."""
        return self.recovery_s is not None and self.rest_s is not None and self.rest_s <= REST_S


@dataclass
class Act:
    """What a fault has in hand."""

    stage: Stage
    workload: Workload
    probes: list[Probe]
    rng: random.Random
    ended: float = 0.0
    """When the fault was over, by the monotonic clock: recovery is counted from here."""
    notes: list[str] = field(default_factory=list)

    def over(self) -> None:
        """The fault ends here. Where nothing says so, it ends when its function returns."""
        self.ended = time.monotonic()

    def redis_lost_data(self) -> None:
        """Redis is back without all that it had: the producers send this round's events again,
        and what was kept of nobody cannot be published again."""
        self.stage.oracle.forgive_the_deleted()
        self.workload.send_again()


_T = TypeVar("_T")
Play: TypeAlias = Callable[[Act], None]


@dataclass(frozen=True)
class Fault:
    """A fault that is registered."""

    name: str
    test: int
    """Rounds in `make test`."""
    torture: int
    """Rounds in `make torture`."""
    stage: Callable[[], Stage]
    """Makes what it is played on; faults of one maker share a stage."""
    run: Callable[[Stage, int], Round]
    """A round, with a seed."""


FAULTS: dict[str, Fault] = {}


def fault(
    name: str,
    *,
    test: int,
    torture: int,
    stage: Callable[[], Stage] = daemon_stage,
    shape: Shape = USUAL,
    rate: float = 300.0,
) -> Callable[[Play], Play]:
    """Registers a function as a fault that is played amid a workload.

    `rate`: events a second that are published meanwhile.
    """

    def register(play: Play) -> Play:
        def run(on: Stage, seed: int) -> Round:
            return play_round(on, seed, play, shape=shape, rate=rate)

        return _register(Fault(name, test, torture, stage, run), play)

    return register


def whole_round(
    name: str, *, test: int, torture: int, stage: Callable[[], Stage] = daemon_stage
) -> Callable[[Callable[[Stage, int], Round]], Callable[[Stage, int], Round]]:
    """Registers a function that plays its round all by itself."""

    def register(run: Callable[[Stage, int], Round]) -> Callable[[Stage, int], Round]:
        return _register(Fault(name, test, torture, stage, run), run)

    return register


def _register(made: Fault, given: _T) -> _T:
    assert made.name not in FAULTS, made.name
    FAULTS[made.name] = made
    return given


def play_round(
    stage: Stage, seed: int, play: Play, *, shape: Shape = USUAL, rate: float = 300.0
) -> Round:
    """A round: publish, let it fail amid that, send probes, wait for rest, judge."""
    prefix = stage.prefix()
    rng = random.Random(seed)
    stage.start()
    stage.copy_redis()
    asked = probes(prefix)
    workload = Workload(stage.redis_url, history(seed, prefix, shape), asked, rate=rate)
    watch = ExitWatch(stage.redis_url)
    act = Act(stage, workload, asked, rng)
    workload.start()
    try:
        # Somewhere within the first half of what is sent.
        workload.until_sent(rng.randrange(len(asked), len(workload.published) // 2))
        play(act)
        if not act.ended:
            act.over()
        workload.send_probes()
        wanted = {probe.key for probe in asked}
        back = stage.until_exits(wanted, watch, act.ended + REST_S)
        recovery = time.monotonic() - act.ended if back else None
        workload.finish()
        rested = stage.until_at_rest(act.ended + REST_S) or stage.until_at_rest(
            time.monotonic() + GRACE_S
        )
        rest = time.monotonic() - act.ended if rested else None
    except BaseException:
        workload.abandon()
        raise
    stage.oracle.feed(workload.published)
    verdict = stage.judge()
    return Round(
        lost=len(verdict.lost),
        doubled=len(verdict.doubled),
        unjustified=len(verdict.unjustified),
        recovery_s=recovery,
        rest_s=rest,
        note="; ".join([*act.notes, *([] if verdict.is_clean else [str(verdict)])]),
        exits=verdict.exits,
    )
