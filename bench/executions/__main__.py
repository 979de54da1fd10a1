"""Measures the state machine of executions: memory per sleeping execution, and the CPU time of a
transition, called from Python.

    python -m bench.executions [--executions 1000000] [--seconds 60] [--json]

Ten tenants have five workflows each: an action, a wait, an action. Each contact has one execution,
which sleeps; all ids are UUIDs. 2,000 timers are due in each second. A round is one second: the
timers fire and their jobs start, then the results of these jobs arrive and the executions
complete. Proposals are read as a commit reads them. Results are the CPU time of one thread per
transition, as median of the rounds, and the growth of the process per execution, beyond that of
its enrollment.
"""

import argparse
import ctypes
import json
import statistics
import struct
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from bench.matcher import (
    ENROLLED_AT_US,
    ROWS_PER_CHUNK,
    TENANTS,
    contact_id,
    copy_rows,
    enrollment_of,
    resident,
)
from goald import _native
from goald.domain.definitions.compiler import compile_plan
from goald.domain.definitions.encoder import encode_plan
from goald.domain.definitions.steps import ActionStep, DurationWait, WorkflowDefinition

START_MS = ENROLLED_AT_US // 1_000 + 86_400_000
TIMERS_PER_SECOND = 2_000


def columns_of(rows: type) -> tuple[str, ...]:
    return tuple(name for name in vars(rows) if not name.startswith("_"))


TRANSITIONS = columns_of(_native.ExecutionTransitions)
LOGS = columns_of(_native.ExecutionLogs)


@dataclass(frozen=True)
class Figures:
    """Nanoseconds per transition, and bytes per execution."""

    executions: int
    bytes_per_execution: float
    index_bytes_per_execution: float
    load_s: float
    fired_ns: float
    finished_ns: float
    read_ns: float


def trimmed_resident() -> int:
    """Resident bytes of the process, without memory that the allocator keeps for later."""
    ctypes.CDLL(None).malloc_trim(0)
    return resident()


def plans() -> list[dict[str, Any]]:
    steps = (
        ActionStep("first", "noop", {}),
        DurationWait("pause", 86_400_000_000),
        ActionStep("second", "noop", {}),
    )
    plan = encode_plan(compile_plan(WorkflowDefinition(steps)))
    return [
        {
            "tenant_id": tenant,
            "workflow_id": f"workflow-{number}",
            "is_active": True,
            "current_version": 1,
            "versions": [(1, plan)],
        }
        for tenant in TENANTS
        for number in range(5)
    ]


def execution_id(number: int) -> str:
    return contact_id(number + (1 << 40))


def execution_rows(count: int) -> Iterator[bytes]:
    """Sleeping executions in the binary COPY format of Postgres, in chunks. The timers are in
    random order."""
    yield b"PGCOPY\n\xff\r\n\0" + bytes(8)
    for start in range(0, count, ROWS_PER_CHUNK):
        numbers = range(start, min(start + ROWS_PER_CHUNK, count))
        yield b"".join(_row(number, due_ms(number, count)) for number in numbers)
    yield b"\xff\xff"


def due_ms(number: int, count: int) -> int:
    place = number * 7_919 % count
    return START_MS + place * 1_000 // TIMERS_PER_SECOND


def _row(number: int, due: int) -> bytes:
    tenant, workflow, _ = enrollment_of(number)
    texts = [each.encode() for each in (tenant, execution_id(number), contact_id(number), workflow)]
    numbers = [struct.pack(">q", each) for each in (1, 0, 0, 0, 1, due - 86_400_000, due)]
    version, attempt, retries, hops, visit, since, due_at = numbers
    fields = [
        *texts, version, b"sleeping", b"pause", visit, attempt, retries, hops, b"UTC", since,
        due_at, b"first", b"\0", b"\0", bytes(8),
    ]  # fmt: skip
    return b"\0\22" + b"".join(struct.pack(">i", len(field)) + field for field in fields)


def read(proposal: _native.ExecutionProposal) -> None:
    """Read the columns and rows that a commit writes."""
    for rows, names in ((proposal.transitions, TRANSITIONS), (proposal.logs, LOGS)):
        for name in names:
            getattr(rows, name)


def evaluate(matcher: _native.Matcher, events: list[bytes], now: int) -> _native.ExecutionProposal:
    """Evaluate and apply, with the contacts for which the evaluation asks."""
    matcher.advance_timers(now)
    entries = [(f"{now}-{number}".encode(), event) for number, event in enumerate(events)]
    options = {"watermark_ms": now, "max_timers": 10_000}
    proposal = matcher.evaluate([_native.buffer_of(entries)], now * 1_000, executions=options)
    rows = proposal.executions
    if rows is None or rows.contact_checks:
        raise RuntimeError("the plans of the benchmark need no contacts")
    effects, transitions = len(proposal.effects), len(rows.transitions)
    matcher.apply(proposal, b"\1" * effects, b"\1" * transitions)
    return rows


def results(transitions: _native.ExecutionTransitions, now: int) -> list[bytes]:
    rows = zip(transitions.tenant_id, transitions.contact_id, transitions.execution_id, strict=True)
    return [_result(tenant, contact, execution, now) for tenant, contact, execution in rows]


def _result(tenant: str, contact: str, execution: str, now: int) -> bytes:
    """A result as a worker reports it."""
    data = {
        "contact_id": contact, "execution_id": execution, "step_id": "second", "visit": 1,
        "attempt": 1, "action": "noop", "outcome": "success", "is_keyed": True, "duration_ms": 1,
        "error": None,
    }  # fmt: skip
    event = {
        "id": execution, "source": "goald/actions", "type": "workflow.action.finished",
        "time": now / 1_000, "tenantid": tenant, "data": data,
    }  # fmt: skip
    return json.dumps(event).encode()


def measure(executions: int, seconds: int) -> Figures:
    # Generate rows before the measurement, so that it does not include Python's allocations.
    for chunk in execution_rows(2 * ROWS_PER_CHUNK):
        _native.Matcher().load_executions(chunk[:0])
    matcher = _native.Matcher()
    matcher.update_plans(plans())
    for chunk in copy_rows(executions):
        matcher.load(chunk)
    before, index_before, load_s = trimmed_resident(), matcher.stats()["bytes"], 0.0
    for chunk in execution_rows(executions):
        start = time.perf_counter()
        matcher.load_executions(chunk)
        load_s += time.perf_counter() - start
    del chunk
    growth, index_growth = trimmed_resident() - before, matcher.stats()["bytes"] - index_before
    fired: list[float] = []
    finished: list[float] = []
    reading: list[float] = []
    for second in range(1, seconds + 1):
        now = START_MS + second * 1_000
        start = time.thread_time_ns()
        started = evaluate(matcher, [], now)
        evaluated = time.thread_time_ns()
        read(started)
        was_read = time.thread_time_ns()
        events = results(started.transitions, now)
        begun = time.thread_time_ns()
        ended = evaluate(matcher, events, now)
        end = time.thread_time_ns()
        count = len(started.transitions)
        if not count or set(ended.transitions.status) != {"COMPLETED"}:
            raise RuntimeError("executions of the benchmark did not complete")
        fired.append((evaluated - start) / count)
        reading.append((was_read - evaluated) / count)
        finished.append((end - begun) / count)
    return Figures(
        executions=executions,
        bytes_per_execution=growth / executions,
        index_bytes_per_execution=index_growth / executions,
        load_s=load_s,
        fired_ns=statistics.median(fired),
        finished_ns=statistics.median(finished),
        read_ns=statistics.median(reading),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the state machine of executions.")
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=60, help="rounds of 2,000 timers")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    args = parser.parse_args()
    figures = measure(args.executions, args.seconds)
    if args.json:
        print(json.dumps(asdict(figures)))
        return
    print(f"{figures.executions:,} executions, loaded in {figures.load_s:.2f} s\n")
    print(f"memory       {figures.bytes_per_execution:7.1f} B/execution (growth of the process)")
    print(f"  index      {figures.index_bytes_per_execution:7.1f} B/execution")
    print(f"fired timer  {figures.fired_ns:7.0f} ns/transition")
    print(f"result       {figures.finished_ns:7.0f} ns/transition")
    print(f"rows         {figures.read_ns:7.0f} ns/transition, read as columns")


if __name__ == "__main__":
    main()
