"""The benchmark suite: `python -m bench`, or `make bench`.

    python -m bench [--quick] [--json]

Measures the matcher and its memory, then the drain of a backlog, alternately with the native
matcher and with plain Python, and then the workflow engine, next to other products. Prints each
result with its target, but does not fail if a target is missed, because machines differ and are
shared.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
from dataclasses import asdict
from typing import Any

from bench import drain, matcher
from bench.engine import report as engine
from bench.executions import __main__ as executions


def machine() -> dict[str, Any]:
    """The machine, and its load."""
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }


def main() -> None:
    """Run all benchmarks: about ten minutes, or two with --quick."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument(
        "--quick", action="store_true", help="a fifth of the work, no other products"
    )
    parser.add_argument("--rounds", type=int, default=3, help="pairs of drains")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    divisor = 5 if options.quick else 1
    before = machine()
    print(f"machine   {before}\nmatcher   …", file=sys.stderr)
    figures = matcher.measure(enrollments=1_000_000 // divisor, events=200_000 // divisor, rounds=7)
    print("drain     …", file=sys.stderr)
    drains = asyncio.run(
        drain.run(
            argparse.Namespace(
                events=500_000 // divisor,
                rounds=1 if options.quick else options.rounds,
                shards=2,
                consumers=1,
                matchers=list(drain.MATCHERS),
            )
        )
    )
    print("engine    …", file=sys.stderr)
    asleep = executions.measure(1_000_000 // divisor, seconds=5)
    products = engine.PRODUCTS[: 1 if options.quick else None]
    engines = engine.measure_all(products, 50_000 // divisor, 20 / divisor)
    if options.json:
        print(
            json.dumps(
                {
                    "machine": before,
                    "matcher": asdict(figures),
                    "drains": [asdict(drained) for drained in drains],
                    "executions": asdict(asleep),
                    "engines": engines,
                }
            )
        )
        return
    print(f"matcher      {figures.matcher_ns:>10,.0f} ns/event        (at most 600)")
    print(f"memory       {figures.bytes_per_enrollment:>10.1f} B/enrollment    (at most 128)")
    rates = {
        name: [drained.events_per_s for drained in drains if drained.matcher == name]
        for name in drain.MATCHERS
    }
    for name, measured in rates.items():
        print(f"drain {name:12} {statistics.median(measured):>9,.0f} events/s  {measured}")
    ratios = [rust / plain for rust, plain in zip(*rates.values(), strict=True)]
    print(
        f"drain ratio  {statistics.median(ratios):>10.2f}  (at least 1.5)  pair by pair "
        f"{[round(ratio, 2) for ratio in ratios]}"
    )
    print(f"asleep       {asleep.bytes_per_execution:>10.1f} B/execution     (at most 128)")
    engine.show(engines)


if __name__ == "__main__":
    main()
