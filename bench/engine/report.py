"""Measures each product with the same loads, and prints a line for each."""

import sys
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.engine import products
from bench.engine.measure import Flow, Load, Measured, run
from bench.engine.products import Running
from bench.peers.install import PEERS, NotInstalled

GOALD = "goald"
PRODUCTS = (GOALD, *(peer.name for peer in PEERS))
LOADS: tuple[tuple[str, Flow, float, int], ...] = (
    ("steady", "full", 500, 2),
    ("timers", "timer", 2_000, 1),
)
"""(name, flow, triggers per second, actions of each execution)."""
TARGETS = (
    "goald: at least 5,000 actions/s; first call p95 at most 100 ms; timers p99 at most 250 ms"
)
_WARM_UP = 200
_TAIL_S = 10.0
_PATIENCE = 6
"""How many times longer than a measurement all executions together may take. Those that are not
complete then delay the next load."""
_MIN_EXECUTIONS = 500


def measure_all(names: Sequence[str], executions: int, seconds: float) -> dict[str, Any]:
    """The figures of products, measured one after another, or why one is skipped. `executions`: of
    goald, triggered together; other products get as many as they complete in about `seconds`."""
    results: dict[str, Any] = {}
    for name in names:
        try:
            results[name] = _measure(name, executions, seconds)
        except NotInstalled as error:
            results[name] = {"skipped": str(error)}
    return results


def show(results: dict[str, Any]) -> None:
    """Print a line for each product, and the targets."""
    for name, found in results.items():
        text = f"skipped: {found['skipped']}" if "skipped" in found else _line(found)
        print(f"{name:<13}{text}")
    print(f"({TARGETS})")


def _measure(name: str, executions: int, seconds: float) -> dict[str, Any]:
    directory = tempfile.TemporaryDirectory(prefix="goald-")
    with directory as path, _started(name, Path(path)) as running:
        first = 0

        def run_load(load: Load) -> Measured:
            nonlocal first
            measured = run(running, load, Path(path), first)
            first += load.executions
            print(f"  {name} {load} {measured}", file=sys.stderr)
            return measured

        warm_up = run_load(Load("full", _WARM_UP, 0, seconds))
        if name != GOALD:
            expected = round(warm_up.actions_per_s * seconds / 2)
            executions = max(_MIN_EXECUTIONS, min(executions, expected))
        most = run_load(Load("full", executions, 0, _PATIENCE * seconds))
        if most.executions == 0:
            return {"skipped": f"completed no execution within {_PATIENCE * seconds:.0f} s"}
        found: dict[str, Any] = {"saturated": asdict(most)}
        for label, flow, desired, actions in LOADS:
            rate = _sustainable(desired, most.actions_per_s / actions)
            load = Load(flow, round(rate * seconds), rate, seconds + _TAIL_S)
            found[label] = {"rate": rate} | asdict(run_load(load))
        return found


def _started(name: str, directory: Path) -> AbstractContextManager[Running]:
    if name == GOALD:
        return products.goald(directory)
    return products.peer(next(peer for peer in PEERS if peer.name == name), directory)


def _sustainable(rate: float, highest: float) -> float:
    """The rate, halved until it is at most half of the highest that a product reached."""
    while rate > highest / 2:
        rate /= 2
    return rate


def _line(found: dict[str, Any]) -> str:
    most, steady, timers = found["saturated"], found["steady"], found["timers"]
    return "  ".join(
        [
            f"{most['actions_per_s']:>7,} actions/s  {most['cpu_us']:>6,} us CPU/action",
            f"first call at {steady['rate']:,.0f}/s {_percentiles(steady['first_call'])}",
            f"timers at {timers['rate']:,.0f}/s {_percentiles(timers['lateness'])} late",
        ]
    )


def _percentiles(found: Sequence[float] | None) -> str:
    if found is None:
        return "none"
    return "p50 {:,.0f} p95 {:,.0f} p99 {:,.0f} ms".format(*found)
