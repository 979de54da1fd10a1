"""`make torture`: runs every fault many times and prints a table of the results.

    python -m tests.fault.torture --rounds 20 --faults "kill -9 of a shard,crash: READ" \
        --seed 7 --minutes 60 --json results.json --write

The seed of a round is derived from the run's seed, the fault's name and the round's number.
`--seed` and `--first` repeat a round, and so does a test with the printed seed in FAULT_SEED.
"""

import argparse
import json
import random
import sys
import time
import zlib
from dataclasses import asdict
from pathlib import Path

from _pytest.outcomes import Skipped
from tests.fault.faults.all_faults import FAULTS
from tests.fault.harness.registry import Fault
from tests.fault.harness.report import FaultResult, table, write_section
from tests.fault.harness.rounds import EnvironmentPool


def main(arguments: list[str] | None = None) -> int:
    """Run the faults. Returns 0 if every round passed."""
    options = _parse(arguments)
    faults = _select([word.strip() for word in options.faults.split(",") if word.strip()])
    if not faults:
        print(f"no fault matches; the faults are: {', '.join(FAULTS)}")
        return 2
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"seed {seed}", flush=True)
    results = run(faults, seed, options)
    print(table(results))
    if options.json:
        content = {"seed": seed, "faults": [asdict(each) for each in results]}
        Path(options.json).write_text(json.dumps(content, indent=1) + "\n")
    if options.write:
        write_section(results, seed)
    return 1 if any(each.failures for each in results) else 0


def _select(words: list[str]) -> list[Fault]:
    """The faults with these names; a word that is not a name selects all names that contain
    it. All faults if there are no words."""
    if not words:
        return list(FAULTS.values())
    names = [[word] if word in FAULTS else [n for n in FAULTS if word in n] for word in words]
    return [FAULTS[name] for name in dict.fromkeys(name for group in names for name in group)]


def run(faults: list[Fault], seed: int, options: argparse.Namespace) -> list[FaultResult]:
    """Run the faults grouped by environment. They share the time limit evenly."""
    factories = list(dict.fromkeys(fault.environment for fault in faults))
    faults = sorted(faults, key=lambda fault: factories.index(fault.environment))
    results = []
    began = time.monotonic()
    limit = options.minutes * 60 if options.minutes else None
    with EnvironmentPool() as environments:
        for place, fault in enumerate(faults):
            until = None
            if limit is not None:
                remaining = limit - (time.monotonic() - began)
                until = time.monotonic() + remaining / (len(faults) - place)
            rounds = min(fault.torture_rounds, options.rounds or fault.torture_rounds)
            numbers = range(options.first, options.first + rounds)
            results.append(_run_fault(environments, fault, numbers, seed, until))
    return results


def _run_fault(
    environments: EnvironmentPool, fault: Fault, numbers: range, seed: int, until: float | None
) -> FaultResult:
    result = FaultResult(fault.name, len(numbers))
    for number in numbers:
        if until is not None and result.rounds and time.monotonic() > until:
            break
        began = time.monotonic()
        round_seed = zlib.crc32(f"{seed}:{fault.name}:{number}".encode())
        try:
            outcome = environments.run(fault, round_seed)
        except Skipped as skipped:
            result.skipped = str(skipped)
            break
        except Exception as error:
            result.errors.append(f"round {number}, seed {round_seed}: {error}"[:2_000])
            _print(f"{fault.name} {number}, seed {round_seed}: {error}")
            continue
        result.rounds.append(outcome)
        _print(
            f"{fault.name} {number}/{len(numbers)}, seed {round_seed}: "
            f"{time.monotonic() - began:.0f} s, "
            f"lost {outcome.lost}, doubled {outcome.doubled}, unjustified {outcome.unjustified}, "
            f"recovery {_seconds(outcome.recovery_s)}, "
            f"idle {_seconds(outcome.idle_s)} {outcome.note}"
        )
    return result


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__)
    parser.add_argument("--rounds", type=int, help="most rounds of each fault")
    parser.add_argument("--faults", default="", help="names or parts of names, comma-separated")
    parser.add_argument("--seed", type=int, help="seed of the run; default: random")
    parser.add_argument("--first", type=int, default=1, help="number of the first round")
    parser.add_argument("--minutes", type=float, help="approximate time limit of the run")
    parser.add_argument("--json", help="file for the results of each round")
    parser.add_argument("--write", action="store_true", help="write the table to docs/faults.md")
    return parser.parse_args(arguments)


def _seconds(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"


def _print(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
