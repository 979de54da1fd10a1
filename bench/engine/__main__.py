"""The figures of the workflow engine, next to other products: `python -m bench.engine`.

    python -m bench.engine [--products goald dbos ...] [--executions N] [--seconds N] [--json]

Each product runs the same flow on this machine: a trigger, an action that does nothing, a wait of a
second, such an action, end. Measures actions per second when all executions are triggered together;
then, at a constant rate, the time from the trigger to the first call, and the lateness of the call
after the wait; then the lateness of timers alone. A rate is halved until it is at most half of the
throughput that was measured before. Other products are installed once (`bench.peers`); a product
that cannot be installed is skipped.
"""

import argparse
import json
import os
import sys

from bench.engine.report import PRODUCTS, measure_all, show


def main() -> None:
    """About a minute and a half for each product."""
    parser = argparse.ArgumentParser(prog="python -m bench.engine")
    parser.add_argument("--products", nargs="*", default=PRODUCTS, choices=PRODUCTS)
    parser.add_argument("--executions", type=int, default=50_000, help="triggered together")
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", file=sys.stderr)
    results = measure_all(options.products, options.executions, options.seconds)
    if options.json:
        print(json.dumps(results))
    else:
        show(results)


if __name__ == "__main__":
    main()
