"""Measures the store of executions in Postgres: commits of a shard, and the load after a restart.

    python -m bench.executions.store [--executions 1000000] [--rows 50000] [--batch 500]
        [--explain] [--json]

Starts Postgres (durable, fsync on) in a temporary directory, and fills it with sleeping executions
and their enrollments. Then one connection commits, as a shard does, batches of starts, of steps
(with two rows of the log and the gate of a job each), of results, and of ends. A row is one
execution with all that belongs to it. Last, all open executions are loaded, and those of 200
contacts, as bytes for the matcher, and the plans that they use. `--explain` prints the plan of each
statement.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import asyncpg

from bench.executions.plans import explain
from bench.stage import Stage
from goald.adapters.postgres import PostgresShardStore
from goald.domain.ids import ContactId, TenantId
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.ports.change import AchievementColumns, Change, Committed, EffectColumns
from goald.ports.executions.change import ExecutionChange, LogColumns, TransitionColumns

ALL = SlotRange(0, 255)
START_MS = 1_780_000_000_000
CONTACTS = 200
FILL = (
    """
INSERT INTO goald.workflow_enrollments
    (tenant_id, id, contact_id, workflow_id, slot, status, enrolled_at)
SELECT 'tenant-' || n % 10, md5(n::text)::uuid::text, md5('c' || n)::uuid::text,
       'workflow-' || n % 50, n % 256, 'active', now() - n * interval '1 second'
FROM generate_series(1, $1::int) n
""",
    """
INSERT INTO goald.workflow_executions (tenant_id, id, contact_id, workflow_id, slot, version,
    status, state, waiting_for, step_id, step_index, total_steps, visit, attempt, retry_count, hops,
    zone, since, since_seq, due_at, done_steps, migrates, used_event, created_at)
SELECT tenant_id, id, contact_id, workflow_id, slot, 1, 'PAUSED', 'sleeping', 'timer', 'pause', 2,
    3, 1, 0, 0, 0, 'Europe/Berlin', enrolled_at, 0, enrolled_at + interval '30 days', 'welcome',
    false, false, enrolled_at
FROM goald.workflow_enrollments
""",
    """
INSERT INTO goald.workflows (tenant_id, id, name, config_version)
SELECT tenant_id, workflow_id, 'W', 1 FROM goald.workflow_executions GROUP BY 1, 2
""",
    """
INSERT INTO goald.workflow_definitions
    (tenant_id, workflow_id, version, document, digest, plan, revision, published_at)
SELECT w.tenant_id, w.id, v.number, '{}', sha256(''), 'plan', v.number, now()
FROM goald.workflows w CROSS JOIN generate_series(1, 10) AS v (number)
""",
    """
INSERT INTO goald.workflow_entries
SELECT tenant_id, contact_id, workflow_id, slot, enrolled_at FROM goald.workflow_enrollments
""",
)


@dataclass(frozen=True)
class Figures:
    """Rows per second of commits, and seconds of the load."""

    executions: int
    load_average: float
    starts_per_s: float
    steps_per_s: float
    results_per_s: float
    ends_per_s: float
    same_page: float
    """The share of updates that changed no index."""
    bytes_per_row: float
    load_s: float
    load_megabytes: float
    contacts_ms: float
    plans_ms: float


class Batch:
    """Changes of the same executions."""

    def __init__(self, numbers: range) -> None:
        self._ids = [f"bench-{number:012}-0000-5000-8000" for number in numbers]
        self._contacts = [f"contact-{number:012}" for number in numbers]
        self._slots = [number % 256 for number in numbers]

    def _all(self, value: Any) -> Sequence[Any]:
        return [value] * len(self._ids)

    def _effects(self, *, is_new: bool) -> EffectColumns:
        of = self._all
        return EffectColumns(
            tenant_id=of("tenant-1"), enrollment_id=self._ids, contact_id=self._contacts,
            workflow_id=of("workflow-1"), slot=self._slots, is_new=of(is_new), after_end=of(False),
            status=of("active" if is_new else "completed"), enrolled_at=of(START_MS * 1_000),
            ended_at=of(None if is_new else START_MS * 1_000), met_goals=of(()),
            pending_actions=of(None), started_by=of(None), match_values=of(None),
            after_event=of(None), received_at=of(None), merges=of(()),
        )  # fmt: skip

    def _change(self, effects: EffectColumns | None, logs: Sequence[str], **fields: Any) -> Change:
        of = self._all
        values: dict[str, Any] = {
            "version": 1, "effect": None, "guard": None, "state": "sleeping", "status": "PAUSED",
            "waiting_for": "timer", "reason": None, "step_id": "pause", "step_index": 1,
            "total_steps": 3, "visit": 1, "attempt": 0, "retry_count": 0, "hops": 0,
            "action": None, "connection": None, "zone": "Europe/Berlin", "since_ms": START_MS,
            "since_seq": 0, "due_ms": START_MS, "done_steps": (), "started_at_ms": START_MS,
            "migrates": False, "used_event": False, "used_events": (), "gate": None,
            "attributes": None,
        } | fields  # fmt: skip
        columns = {name: of(value) for name, value in values.items()}
        if effects is not None:
            columns["effect"] = list(range(len(self._ids)))
        transitions = TransitionColumns(
            tenant_id=of("tenant-1"), contact_id=self._contacts, slot=self._slots,
            workflow_id=of("workflow-1"), execution_id=self._ids, **columns,
        )  # fmt: skip
        rows = [i for i in range(len(self._ids)) for _ in logs]
        same = [None] * len(rows)
        log = LogColumns(
            transition=rows, tenant_id=same, contact_id=same, workflow_id=same, execution_id=same,
            event_type=[*logs] * len(self._ids), at_ms=[START_MS] * len(rows),
            step_index=[1] * len(rows), step_id=["pause"] * len(rows), attempt=[0] * len(rows),
            duration_ms=same, message=same, user=same,
        )  # fmt: skip
        nothing = AchievementColumns((), (), (), (), (), (), ())
        no_effects = EffectColumns(*([()] * 17))
        return Change(
            effects or no_effects, nothing, (), executions=ExecutionChange(transitions, log)
        )

    def start(self) -> Change:
        return self._change(self._effects(is_new=True), ["execution_started", "wait_started"])

    def step(self) -> Change:
        gate = "0000000057-1f0c93ab.123456"
        return self._change(
            None, ["wait_ended", "action_started"], guard=("pause", 1, 0, "sleeping"),
            state="running", status="ACTIVE", waiting_for=None, step_id="mail", step_index=2,
            attempt=1, action="send_email", connection="smtp", due_ms=None, done_steps=("pause",),
            gate=gate,
        )  # fmt: skip

    def result(self) -> Change:
        return self._change(
            None, ["action_completed", "wait_started"], guard=("mail", 1, 1, "running"),
            step_id="last", step_index=3, done_steps=("mail",),
        )  # fmt: skip

    def end(self) -> Change:
        return self._change(
            self._effects(is_new=False), ["wait_ended", "execution_completed"],
            guard=("last", 1, 0, "sleeping"), status="COMPLETED", reason="finished",
            waiting_for=None, step_id="", due_ms=None, done_steps=("last",),
        )  # fmt: skip


async def fill(admin: Any, executions: int) -> None:
    for number, statement in enumerate(FILL):
        await admin.execute(statement, *([executions] if number == 0 else []))
    await admin.execute("VACUUM ANALYZE")


async def commits(store: PostgresShardStore, lease: SlotLease, changes: Sequence[Change]) -> float:
    """Rows per second."""
    began = time.perf_counter()
    for change in changes:
        check(await store.commit(lease, change))
    rows = sum(len(change.executions.transitions) for change in changes if change.executions)
    return rows / (time.perf_counter() - began)


async def share_of_hot_updates(admin: Any, updates: int) -> float:
    """Waits until Postgres has counted the updates, which it does about once a second."""
    counted = hot = 0
    async with asyncio.timeout(60):
        while counted < updates:
            await asyncio.sleep(0.5)
            counted, hot = await admin.fetchrow(
                "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables"
                " WHERE relname = 'workflow_executions'"
            )
    return hot / counted


def check(committed: Committed) -> None:
    if committed.is_stale or not all(committed.transitions):
        raise RuntimeError("a commit of the benchmark did not write all of its rows")


async def measure(stage: Stage, args: argparse.Namespace) -> Figures:
    admin = await asyncpg.connect(stage.admin_dsn)
    await fill(admin, args.executions)
    size = await admin.fetchval("SELECT pg_table_size('goald.workflow_executions')")
    store = PostgresShardStore(stage.postgres_dsn)
    lease = await store.acquire(ALL, "bench")
    count = args.rows // args.batch
    starts = [Batch(range(at * args.batch, (at + 1) * args.batch)) for at in range(count)]
    # Timers fire in another order than executions started.
    others = [Batch(range(at, count * args.batch, count)) for at in range(count)]
    rates = [await commits(store, lease, [batch.start() for batch in starts])]
    for make in (Batch.step, Batch.result, Batch.end):
        rates.append(await commits(store, lease, [make(batch) for batch in others]))
    same_page = await share_of_hot_updates(admin, 3 * count * args.batch)
    sizes: list[int] = []
    began = time.perf_counter()
    await store.executions.load(lease, lambda piece: sizes.append(len(piece)))
    load_s = time.perf_counter() - began
    rows = await admin.fetch(
        f"SELECT tenant_id, contact_id FROM goald.workflow_enrollments LIMIT {CONTACTS}"
    )
    contacts = [(TenantId(tenant), ContactId(contact)) for tenant, contact in rows]
    began = time.perf_counter()
    await store.executions.load_contacts(lease, contacts, lambda piece: sizes.append(0))
    contacts_s = time.perf_counter() - began
    began = time.perf_counter()
    if not await store.executions.plans(lease):
        raise RuntimeError("the workflows of the benchmark have no plans")
    plans_s = time.perf_counter() - began
    await store.close()
    if args.explain:
        await explain(stage.postgres_dsn, admin)
    await admin.close()
    starts_per_s, steps_per_s, results_per_s, ends_per_s = rates
    return Figures(
        executions=args.executions,
        load_average=os.getloadavg()[0],
        starts_per_s=starts_per_s,
        steps_per_s=steps_per_s,
        results_per_s=results_per_s,
        ends_per_s=ends_per_s,
        same_page=same_page,
        bytes_per_row=size / args.executions,
        load_s=load_s,
        load_megabytes=sum(sizes) / 1e6,
        contacts_ms=contacts_s * 1_000,
        plans_ms=plans_s * 1_000,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the store of executions.")
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=50_000, help="executions that are committed")
    parser.add_argument("--batch", type=int, default=500, help="executions of a commit")
    parser.add_argument("--explain", action="store_true", help="print the plans of statements")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, Stage(Path(directory)) as stage:
        figures = asyncio.run(measure(stage, args))
    if args.json:
        print(json.dumps(asdict(figures)))
        return
    for name, value in asdict(figures).items():
        print(f"{name:16} {value:14,.2f}")


if __name__ == "__main__":
    main()
