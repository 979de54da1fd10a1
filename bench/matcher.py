"""Measures the matcher: CPU time per event, called from Python, and memory per enrollment.

    python -m bench.matcher [--enrollments 1000000] [--events 200000] [--rounds 7] [--json]

Ten tenants have five workflows each, one per goal type, with one goal. Each contact has one
enrollment, which needs the most memory. All ids are UUIDs. Events are raw MessagePack, evenly
distributed over contacts and the five types, and 1% of them achieve a goal. Results are the
CPU time of one thread, as median of the rounds.
"""

import argparse
import gc
import json
import random
import statistics
import struct
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgpack

from goald import _native

TENANTS = tuple(str(uuid.UUID(int=(0x7E << 120) | n, version=4)) for n in range(10))
ENROLLED_AT_US = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
NOW_US = ENROLLED_AT_US + 30 * 86_400_000_000
ACHIEVING = 0.01
ROWS_PER_CHUNK = 20_000
ENTRIES_PER_READ = 1_000

# Goal type, criteria, event type, data that meets the criteria, and data that does not.
KINDS: tuple[tuple[str, dict[str, Any], str, dict[str, Any], dict[str, Any]], ...] = (
    (
        "tag_added",
        {"tag_name": "Customer"},
        "contact.tag.added",
        {"tag_id": "5b0c9a0e-7d2f-4c58-9a55-1c2f6d9a7f10", "tag_name": "Customer"},
        {"tag_id": "7c1d0b1f-8e30-4d69-8b66-2d307ea08021", "tag_name": "Prospect"},
    ),
    (
        "purchase_made",
        {"min_amount": "100.00"},
        "payment.completed",
        {"amount": "149.50", "currency": "EUR", "product_id": "p-1"},
        {"amount": 12.5, "currency": "EUR", "product_id": "p-2"},
    ),
    (
        "appointment_booked",
        {"calendar_id": "cal-456"},
        "appointment.booked",
        {"calendar_id": "cal-456", "service_id": "svc-1"},
        {"calendar_id": "cal-789", "service_id": "svc-1"},
    ),
    (
        "form_submitted",
        {"form_id": "form-123"},
        "form.submitted",
        {"form_id": "form-123", "submission_id": "sub-1"},
        {"form_id": "form-9", "submission_id": "sub-2"},
    ),
    (
        "pipeline_stage_reached",
        {"pipeline_id": "pipe-1", "stage_id": "stage-4"},
        "pipeline.stage.changed",
        {"pipeline_id": "pipe-1", "stage_id": "stage-4"},
        {"pipeline_id": "pipe-1", "stage_id": "stage-2"},
    ),
)


@dataclass(frozen=True)
class Figures:
    """Nanoseconds per event, and bytes per enrollment."""

    enrollments: int
    events: int
    achievements: int
    router_ns: float
    matcher_ns: float
    together_ns: float
    bytes_per_enrollment: float
    index_bytes_per_enrollment: float
    load_s: float


def contact_id(number: int) -> str:
    """Evenly distributed, as random UUIDs are."""
    return str(uuid.UUID(int=(number * 0x9E3779B97F4A7C15F39CC0605CEDC835) % (1 << 128), version=4))


def enrollment_of(number: int) -> tuple[str, str, int]:
    """The enrollment of a contact as (tenant, workflow, index of KINDS)."""
    kind = number % len(KINDS)
    return TENANTS[number // len(KINDS) % len(TENANTS)], f"workflow-{kind}", kind


def workflows() -> list[dict[str, Any]]:
    return [
        {
            "tenant_id": tenant,
            "workflow_id": f"workflow-{kind}",
            "goal_logic": "any",
            "is_active": True,
            "goals": [
                {
                    "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{tenant}:{kind}")),
                    "goal_type": goal_type,
                    "criteria": json.dumps(criteria),
                    "is_active": True,
                    "effective_from": ENROLLED_AT_US,
                    "created_at": ENROLLED_AT_US,
                    "position": 0,
                }
            ],
        }
        for tenant in TENANTS
        for kind, (goal_type, criteria, *_) in enumerate(KINDS)
    ]


def copy_rows(count: int) -> Iterator[bytes]:
    """The enrollments in the binary COPY format of Postgres, in chunks."""
    yield b"PGCOPY\n\xff\r\n\0" + bytes(8)
    for start in range(0, count, ROWS_PER_CHUNK):
        yield b"".join(_row(number) for number in range(start, min(start + ROWS_PER_CHUNK, count)))
    yield b"\xff\xff"


def _row(number: int) -> bytes:
    tenant, workflow, _ = enrollment_of(number)
    enrollment = contact_id(number + (1 << 40))
    texts = [text.encode() for text in (tenant, enrollment, contact_id(number), workflow)]
    fields = [*texts, struct.pack(">q", ENROLLED_AT_US), b"", b"\0", b""]
    return b"\0\10" + b"".join(struct.pack(">i", len(field)) + field for field in fields)


def entries(enrollments: int, events: int, rng: random.Random) -> list[list[Any]]:
    """Entries as redis-py returns them: `[[id, [b"event", bytes]], ...]`."""
    found = []
    for number in range(events):
        contact = rng.randrange(enrollments)
        tenant, _, kind = enrollment_of(contact)
        achieves = rng.random() < ACHIEVING
        if not achieves:
            kind = rng.randrange(len(KINDS))
        _, _, name, met, unmet = KINDS[kind]
        event = {
            "specversion": "1.0",
            "id": f"01JD{number:022d}",
            "source": "urn:bench:platform",
            "type": name,
            "time": f"2026-01-02T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z",
            "tenantid": tenant,
            "data": {"contact_id": contact_id(contact), **(met if achieves else unmet)},
        }
        found.append([f"{1_767_400_000_000 + number}-0".encode(), [b"event", msgpack.packb(event)]])
    return found


def resident() -> int:
    """Resident set size of the process in bytes."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def loaded(count: int) -> tuple[_native.Matcher, float, float]:
    """A matcher with `count` enrollments, the growth of the process in bytes, and the seconds."""
    # Generate rows before the measurement, so that it does not include Python's allocations.
    for chunk in copy_rows(2 * ROWS_PER_CHUNK):
        _native.Matcher().load(chunk[:0])
    matcher = _native.Matcher()
    matcher.update_workflows(workflows())
    before, seconds = resident(), 0.0
    for chunk in copy_rows(count):
        start = time.perf_counter()
        matcher.load(chunk)
        seconds += time.perf_counter() - start
    return matcher, resident() - before, seconds


def measure(enrollments: int, events: int, rounds: int, seed: int = 7) -> Figures:
    """Call the router and the matcher alternately, once per read, as the pipeline does."""
    matcher, growth, load_s = loaded(enrollments)
    all_entries = entries(enrollments, events, random.Random(seed))
    starts = range(0, events, ENTRIES_PER_READ)
    reads = [all_entries[start : start + ENTRIES_PER_READ] for start in starts]
    router = _native.Router(bytes(_native.SLOTS))
    routing: list[float] = []
    evaluating: list[float] = []
    achievements = 0
    for _ in range(rounds + 1):
        routed_ns = evaluated_ns = achievements = 0
        for read in reads:
            start = time.thread_time_ns()
            routed = router.route(read)
            buffers = [buffer for _, buffer, _ in routed.buffers]
            middle = time.thread_time_ns()
            proposal = matcher.evaluate(buffers, NOW_US)
            end = time.thread_time_ns()
            routed_ns += middle - start
            evaluated_ns += end - middle
            achievements += len(proposal.achievements)
            if proposal.rejects or routed.rejects:
                raise RuntimeError("an event of the benchmark was refused")
        routing.append(routed_ns / events)
        evaluating.append(evaluated_ns / events)
    # The first round is for warm-up.
    both = [sum(pair) for pair in zip(routing, evaluating, strict=True)]
    return Figures(
        enrollments=enrollments,
        events=events,
        achievements=achievements,
        router_ns=statistics.median(routing[1:]),
        matcher_ns=statistics.median(evaluating[1:]),
        together_ns=statistics.median(both[1:]),
        bytes_per_enrollment=growth / enrollments,
        index_bytes_per_enrollment=matcher.stats()["bytes"] / enrollments,
        load_s=load_s,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the matcher.")
    parser.add_argument("--enrollments", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    args = parser.parse_args()
    figures = measure(args.enrollments, args.events, args.rounds)
    if args.json:
        print(json.dumps(asdict(figures)))
        return
    print(f"{figures.events:,} events, {figures.achievements:,} of them achieve a goal,")
    print(f"with {figures.enrollments:,} enrollments, loaded in {figures.load_s:.2f} s\n")
    print(f"router       {figures.router_ns:7.0f} ns/event")
    print(f"matcher      {figures.matcher_ns:7.0f} ns/event")
    print(f"together     {figures.together_ns:7.0f} ns/event")
    print(f"memory       {figures.bytes_per_enrollment:7.1f} B/enrollment (growth of the process)")
    print(f"  index      {figures.index_bytes_per_enrollment:7.1f} B/enrollment")


if __name__ == "__main__":
    main()
