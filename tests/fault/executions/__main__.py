"""Races of exits against calls that are due, in a real goald, while everything fails.

    python -m tests.fault.executions --races 100000 --seed 7

Each contact starts an execution, whose steps call a provider in a separate process. At about the
time of one of these calls the contact meets the goal of the workflow: before it is due, while it is
in flight, or after it. Meanwhile workers, shards, consumers, the API, Redis and Postgres are
killed and stopped, and Redis loses its data. At the end the oracle (`oracle.py`) compares what the
provider received, the order in which Redis changed gates, and the rows in Postgres with the events
that were sent.
"""

import argparse
import random
import sys
import time

from tests.fault.executions.environments import daemon_races
from tests.fault.executions.run import run
from tests.fault.executions.workload import FINISHING, SLOW


def main() -> int:
    """Run it. Returns 0 if the oracle finds no error."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault.executions")
    parser.add_argument("--races", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=150.0, help="races a second")
    parser.add_argument("--pause", type=float, default=6.0, help="longest pause between faults")
    parser.add_argument("--minutes", type=float, help="begin no race after this time")
    parser.add_argument("--finishing", type=float, default=FINISHING)
    parser.add_argument("--faults", default="", help="these instead, in order, comma-separated")
    parser.add_argument("--slow", type=float, default=SLOW, help="share of calls that take long")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    began = time.monotonic()
    with daemon_races() as target:
        result = run(
            target,
            options.races,
            random.Random(options.seed),
            rate=options.rate,
            pause_s=(options.pause / 3, options.pause),
            finishing=options.finishing,
            faults=[name.strip() for name in options.faults.split(",") if name.strip()],
            slow=options.slow,
            seconds=options.minutes and options.minutes * 60,
        )
        if not result.is_correct:
            print(target.goald.printed())
    faults = ", ".join(f"{number} x {name}" for name, number in sorted(result.faults.items()))
    print(f"{result.races:,} races in {time.monotonic() - began:.0f} s; faults: {faults}")
    end = "never" if result.end_s is None else f"{result.end_s:.0f} s after the last event"
    print(f"all executions ended: {end}")
    print(result.verdict)
    return 0 if result.is_correct else 1


if __name__ == "__main__":
    sys.exit(main())
