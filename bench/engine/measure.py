"""Runs the flow on one product, and computes the figures from the times of the calls."""

import os
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import psutil

from bench.engine.products import ROOT, Program, Running
from bench.peers.calls import TRIGGERED, Call, read_calls
from bench.peers.flow import WAIT_S

_POLL_S = 0.5
_START_S = 60.0
_STOP_S = 30.0
Flow = Literal["full", "timer"]
RECORDS: dict[Flow, int] = {"full": 3, "timer": 2}
"""The records of a complete execution: its trigger and its calls."""


class Load(NamedTuple):
    """What is triggered."""

    flow: Flow
    executions: int
    rate: float
    """Triggers per second; 0: all together."""
    seconds: float
    """The run ends then, if executions are not complete."""


class Percentiles(NamedTuple):
    """In milliseconds."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class Measured:
    """One run."""

    executions: int
    """Complete ones."""
    triggered: int
    actions_per_s: float
    cpu_us: float
    """CPU time of all processes for one action, those that trigger included."""
    cpu_s: dict[str, float]
    """By program."""
    first_call: Percentiles | None
    """From the trigger to the first call."""
    lateness: Percentiles | None
    """Of the call after the wait: from the first call (`full`) or the trigger (`timer`), less the
    wait."""
    load: float
    """The load average of the machine at the end."""


class _Process:
    """A process of a product, from construction until `stop`."""

    def __init__(
        self, program: Program, running: Running, file: Path, load: Load, number: int
    ) -> None:
        self.file = file
        count = load.executions if program.triggers else 0
        self._process = subprocess.Popen(
            [
                *(program.python, "-m", program.module, running.dsn, str(file)),
                *("--first", str(number), "--count", str(count)),
                *("--rate", str(load.rate), "--flow", load.flow),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )

    def wait_until_ready(self) -> None:
        """Raises SystemExit if it ends instead."""
        if self._process.stdout is None or self._process.stdout.readline() != b"ready\n":
            raise SystemExit("a process of the benchmark does not start")

    def go(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(b"go\n")
            self._process.stdin.flush()

    def stop(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def run(running: Running, load: Load, directory: Path, first: int = 0) -> Measured:
    """Run one load. `first`: the number of its first execution. Blocks until all executions are
    complete, or the time is over."""
    with ExitStack() as stack:
        processes = []
        for number, program in enumerate(running.programs):
            file = directory / f"{load.flow}-{first}-{number}"
            process = _Process(program, running, file, load, first)
            stack.callback(process.stop)
            process.wait_until_ready()
            processes.append(process)
        before = _cpu()
        for process in processes:
            process.go()
        deadline = time.monotonic() + load.seconds
        expected = load.executions * RECORDS[load.flow]
        while time.monotonic() < deadline:
            if len(_calls(processes, first)) >= expected:
                break
            time.sleep(_POLL_S)
        cpu = {role: spent - before.get(role, 0.0) for role, spent in _cpu().items()}
        until = time.monotonic()
    return _measured([call for call in _calls(processes, first) if call.at <= until], load, cpu)


def _calls(processes: Sequence[_Process], first: int) -> list[Call]:
    """The calls so far, without those of executions that an earlier load left."""
    calls = (call for process in processes for call in read_calls(process.file))
    return [call for call in calls if call.execution >= first]


def _measured(calls: Sequence[Call], load: Load, cpu: dict[str, float]) -> Measured:
    times: dict[int, dict[int, float]] = defaultdict(dict)
    for call in calls:
        times[call.execution].setdefault(call.step, call.at)
    actions = [call.at for call in calls if call.step != TRIGGERED]
    began = min((call.at for call in calls), default=0.0)
    seconds = max(actions, default=began + 1) - began
    origin = 1 if load.flow == "full" else TRIGGERED
    first = [each[1] - each[TRIGGERED] for each in times.values() if each.keys() >= {1, TRIGGERED}]
    late = [
        each[2] - each[origin] - WAIT_S for each in times.values() if each.keys() >= {origin, 2}
    ]
    return Measured(
        executions=sum(2 in each for each in times.values()),
        triggered=sum(TRIGGERED in each for each in times.values()),
        actions_per_s=round(len(actions) / seconds),
        cpu_us=round(sum(cpu.values()) / max(1, len(actions)) * 1e6),
        cpu_s={role: round(spent, 1) for role, spent in cpu.items() if spent >= 0.1},
        first_call=_percentiles(first),
        lateness=_percentiles(late),
        load=round(os.getloadavg()[0], 1),
    )


def _percentiles(seconds: Sequence[float]) -> Percentiles | None:
    if len(seconds) < 2:
        return None
    cuts = statistics.quantiles(seconds, n=100)
    return Percentiles(*(round(cuts[at] * 1_000, 1) for at in (49, 94, 98)))


_ROLES = (
    ("_flow", "flow"),
    ("temporal server", "server"),
    ("ray::ConsumerAct", "consumer"),
    ("ray::ShardActor", "shards"),
    ("valkey", "redis"),
    ("postgres", "postgres"),
)


def _cpu() -> dict[str, float]:
    """User and system seconds of the descendants of this process, by role."""
    seconds: dict[str, float] = defaultdict(float)
    for process in psutil.Process().children(recursive=True):
        try:
            times, line = process.cpu_times(), " ".join(process.cmdline())
        except psutil.Error:
            continue
        role = next((role for name, role in _ROLES if name in line), "other")
        seconds[role] += times.user + times.system
    return seconds
