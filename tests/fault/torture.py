"""`make torture`: every fault, many times, and a table of what came of it.

    python -m tests.fault.torture --rounds 20 --faults "kill -9 of a shard,crash: READ" \
        --seed 7 --minutes 60 --json results.json --write

A round's seed comes of the run's seed, the fault's name and the round's number: `--seed` and
`--first` repeat it, and so does a test, where FAULT_SEED is what was printed.
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
from tests.fault.harness.played import Stages
from tests.fault.harness.registry import Fault
from tests.fault.harness.report import Played, table, write_section


def main(arguments: list[str] | None = None) -> int:
    """Play; 0 where everything went well."""
    given = _parse(arguments)
    faults = _chosen([word.strip() for word in given.faults.split(",") if word.strip()])
    if not faults:
        print(f"there is no such fault; there are: {', '.join(FAULTS)}")
        return 2
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"seed {seed}", flush=True)
    results = play(faults, seed, given)
    print(table(results))
    if given.json:
        said = {"seed": seed, "faults": [asdict(each) for each in results]}
        Path(given.json).write_text(json.dumps(said, indent=1) + "\n")
    if given.write:
        write_section(results, seed)
    return 1 if any(each.wrong for each in results) else 0


def _chosen(words: list[str]) -> list[Fault]:
    """The faults of these names; of a word that is no name, all whose names hold it."""
    if not words:
        return list(FAULTS.values())
    names = [[word] if word in FAULTS else [n for n in FAULTS if word in n] for word in words]
    return [FAULTS[name] for name in dict.fromkeys(name for found in names for name in found)]


def play(faults: list[Fault], seed: int, given: argparse.Namespace) -> list[Played]:
    """Their rounds, those of one stage after one another, sharing what time there is."""
    makers = list(dict.fromkeys(fault.stage for fault in faults))
    faults = sorted(faults, key=lambda fault: makers.index(fault.stage))
    results = []
    began = time.monotonic()
    with Stages() as stages:
        for place, fault in enumerate(faults):
            wanted = min(fault.torture, given.rounds or fault.torture)
            left = given.minutes * 60 - (time.monotonic() - began) if given.minutes else None
            until = None if left is None else time.monotonic() + left / (len(faults) - place)
            results.append(_play(stages, fault, wanted, seed, given.first, until))
    return results


def _play(
    stages: Stages, fault: Fault, wanted: int, seed: int, first: int, until: float | None
) -> Played:
    played = Played(fault.name, wanted)
    for number in range(first, first + wanted):
        if until is not None and played.rounds and time.monotonic() > until:
            break
        began = time.monotonic()
        own = zlib.crc32(f"{seed}:{fault.name}:{number}".encode())
        try:
            came = stages.play(fault, own)
        except Skipped as skipped:
            played.skipped = str(skipped)
            break
        except Exception as error:
            played.errors.append(f"round {number}, seed {own}: {error}"[:2_000])
            _say(f"{fault.name} {number}, seed {own}: {error}")
            continue
        played.rounds.append(came)
        _say(
            f"{fault.name} {number}/{wanted}, seed {own}: {time.monotonic() - began:.0f} s, "
            f"lost {came.lost}, doubled {came.doubled}, unjustified {came.unjustified}, "
            f"recovery {_seconds(came.recovery_s)}, rest {_seconds(came.rest_s)} {came.note}"
        )
    return played


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__)
    parser.add_argument("--rounds", type=int, help="at most so many of each fault")
    parser.add_argument("--faults", default="", help="names or parts of names, with commas")
    parser.add_argument("--seed", type=int, help="of the run; a random one where absent")
    parser.add_argument("--first", type=int, default=1, help="number of the first round")
    parser.add_argument("--minutes", type=float, help="about how long it may take")
    parser.add_argument("--json", help="where to write all that is known of each round")
    parser.add_argument("--write", action="store_true", help="put the table into docs/faults.md")
    return parser.parse_args(arguments)


def _seconds(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
