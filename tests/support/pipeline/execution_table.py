"""The rows of executions, as Postgres would have them, and the matcher that proposes changes."""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgpack
from tests.support.pipeline.dict_store import COPY_HEADER, COPY_TRAILER, copy_row
from tests.support.reference.executions.plans import Described
from tests.support.reference.executions.runs import Workflow
from tests.support.time_zones import tzif

from goald import _native

COLUMNS = (
    "contact_id", "workflow_id", "version", "state", "step_id", "visit", "attempt", "retry_count",
    "hops", "zone", "since_ms", "since_seq", "due_ms", "started_at_ms", "migrates", "used_event",
    "reason",
)  # fmt: skip
STATES = (
    "queued", "ready", "running", "sleeping", "listening", "backing_off", "rate_limited",
    "on_hold", "inactive", "failed",
)  # fmt: skip
Row = dict[str, Any]


@dataclass(frozen=True)
class Batch:
    """The events and inputs of one evaluation."""

    buffer: bytes
    inputs: Sequence[Mapping[str, object]]
    described: Mapping[str, Sequence[Described | None]] = field(default_factory=dict)
    """By contact: its description after each event that describes or deletes it; None as before."""


class ExecutionShard:
    """A matcher over a table. Memory can be dropped and loaded at any time."""

    def __init__(self, tenant: str, zones: Sequence[str]) -> None:
        self.tenant = tenant
        self.zones = [(name, tzif(name)) for name in zones]
        self.workflows: dict[str, Workflow] = {}
        self.rows: dict[str, Row] = {}
        """By execution, those that have ended too."""
        self.used: dict[str, set[str]] = {}
        self.last_started: dict[tuple[str, str], int] = {}
        self.contacts: dict[str, Described] = {}
        self.enrollments: dict[str, str] = {}
        """The status of each enrollment, by its id."""
        self.counted: dict[tuple[str, str], set[str]] = {}
        """By contact and workflow: the keys of the events that met goals (E11)."""
        self.matcher = _native.Matcher()
        self.reload()

    def configure(self, workflow: Workflow) -> None:
        self.workflows[workflow.id] = workflow
        self.matcher.update_plans([self._plans(workflow)])
        self.matcher.update_workflows([self._goals(workflow)])

    def _goals(self, workflow: Workflow) -> dict[str, object]:
        """The workflow's goal is the purchase of the product with its name."""
        goal = {
            "id": str(UUID(int=1)), "goal_type": "purchase_made", "is_active": True,
            "criteria": json.dumps({"product_id": workflow.id}), "effective_from": 0,
            "created_at": 0, "position": 0,
        }  # fmt: skip
        return {
            "tenant_id": self.tenant, "workflow_id": workflow.id, "goal_logic": "any",
            "is_active": workflow.is_active, "goals": [goal],
        }  # fmt: skip

    def _plans(self, workflow: Workflow) -> dict[str, object]:
        live = {row["version"] for row in self._live() if row["workflow_id"] == workflow.id}
        return {
            "tenant_id": self.tenant,
            "workflow_id": workflow.id,
            "is_active": workflow.is_active,
            "activated_at_ms": workflow.activated_at,
            "overdue": workflow.overdue,
            "current_version": workflow.current,
            "versions": [
                (version, msgpack.packb(plan.encoded))
                for version, plan in workflow.versions.items()
                if version in live | {workflow.current}
            ],
        }

    def _live(self) -> list[Row]:
        return [row for row in self.rows.values() if row["reason"] is None]

    def reload(self) -> None:
        """Drop memory, and load the committed rows."""
        self.matcher = _native.Matcher()
        self.matcher.set_zones(self.zones)
        self.matcher.update_plans([self._plans(each) for each in self.workflows.values()])
        self.matcher.update_workflows([self._goals(each) for each in self.workflows.values()])
        live = [(id_, row) for id_, row in self.rows.items() if row["reason"] is None]
        enrollments = [
            copy_row(
                self.tenant, id_, row["contact_id"], row["workflow_id"],
                row["started_at_ms"] * 1_000, [], True,
            )
            for id_, row in live
        ]  # fmt: skip
        assert self.matcher.load(COPY_HEADER + b"".join(enrollments) + COPY_TRAILER) == len(live)
        rows = b"".join(self._copy_row(id_, row) for id_, row in live)
        self.matcher.load_executions(COPY_HEADER + rows + COPY_TRAILER)
        assert self.matcher.load_executions_ended()

    def _copy_row(self, id_: str, row: Row) -> bytes:
        due = -1 if row["due_ms"] is None else row["due_ms"]
        values: list[str | int | bool] = [
            self.tenant, id_, row["contact_id"], row["workflow_id"], row["version"], row["state"],
            row["step_id"], row["visit"], row["attempt"], row["retry_count"], row["hops"],
            row["zone"], row["since_ms"], due, "\x1f".join(sorted(row["done"])), row["migrates"],
            row["used_event"], row["since_seq"],
        ]  # fmt: skip
        fields = [_field(value) for value in values]
        head = struct.pack(">h", len(fields))
        return head + b"".join(struct.pack(">i", len(field)) + field for field in fields)

    def evaluate(
        self, batch: Batch, now: int, grants: set[str] | None, only_events: bool = False
    ) -> _native.Proposal:
        """Evaluate, with the rows for which the evaluation asks."""
        self.matcher.advance_timers(now)
        facts = _Facts(self, batch)
        granted = None
        if grants is not None:
            granted = [(self.tenant, self.rows[id_]["contact_id"], id_) for id_ in sorted(grants)]
        for _ in range(50):
            proposal = self.matcher.evaluate(
                [batch.buffer],
                now * 1_000,
                excluded=sorted(facts.uncounted),
                executions={
                    "inputs": batch.inputs,
                    "watermark_ms": now,
                    "grants": granted,
                    "only_events": only_events,
                    "contacts": list(facts.contacts.values()),
                    "starts": list(facts.starts.values()),
                    "excluded": sorted(facts.used),
                },
            )
            if not facts.answer(proposal):
                return proposal
        raise AssertionError("the evaluation does not end to ask for rows")

    def commit(self, proposal: _native.Proposal) -> None:
        """Write the rows of a proposal or a slice, each guarded by its row."""
        effects = proposal.effects
        for id_, status, is_new in zip(
            effects.enrollment_id, effects.status, effects.is_new, strict=True
        ):
            before = self.enrollments.get(id_)
            if is_new and status != "active" and before is not None:
                continue  # an end of an enrollment that has ended
            assert before == (None if is_new else "active")
            self.enrollments[id_] = status
        for effect, key, _ in proposal.used_events:
            runs = effects.contact_id[effect], effects.workflow_id[effect]
            self.counted.setdefault(runs, set()).add(key)
        if proposal.executions is not None:
            self._commit(proposal.executions.transitions, effects)

    def _commit(self, columns: _native.ExecutionTransitions, effects: _native.Effects) -> None:
        values = {name: getattr(columns, name) for name in COLUMNS}
        for at, id_ in enumerate(columns.execution_id):
            guard, row, effect = columns.guard[at], self.rows.get(id_), columns.effect[at]
            if guard is None:
                assert row is None, "a start of an execution that exists"
                key = (columns.contact_id[at], columns.workflow_id[at])
                started = columns.started_at_ms[at]
                self.last_started[key] = max(started, self.last_started.get(key, 0))
            else:
                assert row is not None
                assert row["reason"] is None
                assert guard == (row["step_id"], row["visit"], row["attempt"], row["state"])
            # Its enrollment starts and ends with it.
            changes = guard is None or columns.reason[at] is not None
            assert (effect is not None) == changes
            assert effect is None or effects.enrollment_id[effect] == id_
            done = set() if row is None else row["done"]
            self.rows[id_] = {name: values[name][at] for name in COLUMNS}
            self.rows[id_]["done"] = done | set(columns.done_steps[at])
            self.used.setdefault(id_, set()).update(columns.used_events[at])

    def apply(self, proposal: _native.Proposal) -> None:
        executions = proposal.executions
        transitions = 0 if executions is None else len(executions.transitions)
        self.matcher.apply(proposal, b"\1" * len(proposal.effects), b"\1" * transitions)

    def in_memory(self) -> dict[str, str]:
        """The state of each execution in memory."""
        return {id_: state for state in STATES for _, _, id_ in self.matcher.executions_in(state)}

    def in_rows(self) -> dict[str, str]:
        return {id_: row["state"] for id_, row in self.rows.items() if row["reason"] is None}


def _field(value: str | int | bool) -> bytes:
    if isinstance(value, bool):
        return bytes([value])
    return struct.pack(">q", value) if isinstance(value, int) else value.encode()


class _Facts:
    """The rows for which the evaluations of a batch have asked."""

    def __init__(self, shard: ExecutionShard, batch: Batch) -> None:
        self.shard = shard
        self.batch = batch
        self.contacts: dict[tuple[str, int], tuple[str, str, int, Mapping[str, object]]] = {}
        self.starts: dict[str, tuple[str, str, bool, int | None]] = {}
        self.used: set[tuple[str, str, str]] = set()
        """Events that have ended waits."""
        self.uncounted: set[tuple[str, str, str, int]] = set()
        """Events that do not count for goals."""

    def answer(self, proposal: _native.Proposal) -> bool:
        """Answer the questions of an evaluation. Returns whether it must be repeated."""
        known = self._count()
        shard, tenant = self.shard, self.shard.tenant
        for _, contact, workflow, id_, key, at, _ in proposal.event_checks:
            if key in shard.counted.get((contact, workflow), ()):
                self.uncounted.add((tenant, id_, key, at))
        executions = proposal.executions
        if executions is not None:
            for _, contact, position, *_ in executions.contact_checks:
                self._describe(contact, position)
            for _, contact, workflow, id_ in executions.start_checks:
                last = shard.last_started.get((contact, workflow))
                self.starts[id_] = (tenant, id_, id_ in shard.rows, last)
            ids = executions.transitions.execution_id
            for transition, event in executions.event_checks:
                if event in shard.used.get(ids[transition], ()):
                    self.used.add((tenant, ids[transition], event))
        return known != self._count()

    def _describe(self, contact: str, position: int) -> None:
        before = self.shard.contacts.get(contact, Described())
        steps = [before, *self.batch.described.get(contact, ())]
        described = steps[position] or before
        row = (self.shard.tenant, contact, position, described.fields())
        self.contacts[contact, position] = row

    def _count(self) -> int:
        facts = len(self.contacts) + len(self.starts)
        return facts + len(self.used) + len(self.uncounted)
