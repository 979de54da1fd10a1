"""The rows of executions, as Postgres would have them, and the matcher that proposes changes."""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import msgpack
from tests.support.pipeline.dict_store import COPY_HEADER, COPY_TRAILER, copy_row
from tests.support.reference.executions.plans import Described
from tests.support.reference.executions.runs import Workflow
from tests.support.time_zones import tzif

from goald import _native

COLUMNS = (
    "contact_id", "workflow_id", "version", "state", "step_id", "visit", "attempt", "retry_count",
    "hops", "zone", "since_ms", "due_ms", "started_at_ms", "migrates", "used_event", "reason",
)  # fmt: skip
STATES = (
    "queued", "ready", "running", "sleeping", "listening", "backing_off", "rate_limited",
    "on_hold", "inactive", "failed",
)  # fmt: skip
Row = dict[str, Any]


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
        self.matcher = _native.Matcher()
        self.reload()

    def configure(self, workflow: Workflow) -> None:
        self.workflows[workflow.id] = workflow
        self.matcher.update_plans([self._plans(workflow)])

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
            row["used_event"],
        ]  # fmt: skip
        fields = [_field(value) for value in values]
        head = struct.pack(">h", len(fields))
        return head + b"".join(struct.pack(">i", len(field)) + field for field in fields)

    def evaluate(
        self,
        inputs: Sequence[Mapping[str, object]],
        now: int,
        grants: set[str] | None,
        only_events: bool = False,
    ) -> _native.ExecutionProposal:
        """Evaluate, with the rows for which the evaluation asks."""
        self.matcher.advance_timers(now)
        contacts: dict[str, Mapping[str, object]] = {}
        starts: dict[str, tuple[str, str, bool, int | None]] = {}
        excluded: set[tuple[str, str, str]] = set()
        granted = None
        if grants is not None:
            granted = [(self.tenant, self.rows[id_]["contact_id"], id_) for id_ in sorted(grants)]
        for _ in range(50):
            proposal = self.matcher.evaluate_executions(
                inputs,
                now,
                now,
                grants=granted,
                only_events=only_events,
                contacts=[(self.tenant, contact, each) for contact, each in contacts.items()],
                starts=list(starts.values()),
                excluded=sorted(excluded),
            )
            known = (len(contacts), len(starts), len(excluded))
            for _, contact in proposal.contact_checks:
                contacts[contact] = self.contacts.get(contact, Described()).fields()
            for _, contact, workflow, id_ in proposal.start_checks:
                last = self.last_started.get((contact, workflow))
                starts[id_] = (self.tenant, id_, id_ in self.rows, last)
            ids = proposal.transitions.execution_id
            for transition, event in proposal.event_checks:
                if event in self.used.get(ids[transition], ()):
                    excluded.add((self.tenant, ids[transition], event))
            if known == (len(contacts), len(starts), len(excluded)):
                assert not proposal.contact_checks
                assert not proposal.start_checks
                return proposal
        raise AssertionError("the evaluation does not end to ask for rows")

    def commit(self, proposal: _native.ExecutionProposal) -> None:
        """Write the rows of a proposal or a slice, each guarded by its row."""
        columns = proposal.transitions
        values = {name: getattr(columns, name) for name in COLUMNS}
        for at, id_ in enumerate(columns.execution_id):
            guard, row = columns.guard[at], self.rows.get(id_)
            if guard is None:
                assert row is None, "a start of an execution that exists"
                key = (columns.contact_id[at], columns.workflow_id[at])
                started = columns.started_at_ms[at]
                self.last_started[key] = max(started, self.last_started.get(key, 0))
            else:
                assert row is not None
                assert row["reason"] is None
                assert guard == (row["step_id"], row["visit"], row["attempt"], row["state"])
            done = set() if row is None else row["done"]
            self.rows[id_] = {name: values[name][at] for name in COLUMNS}
            self.rows[id_]["done"] = done | set(columns.done_steps[at])
            self.used.setdefault(id_, set()).update(columns.used_events[at])

    def apply(self, proposal: _native.ExecutionProposal) -> None:
        self.matcher.apply_executions(proposal, b"\1" * len(proposal.transitions))

    def in_memory(self) -> dict[str, str]:
        """The state of each execution in memory."""
        return {id_: state for state in STATES for _, _, id_ in self.matcher.executions_in(state)}

    def in_rows(self) -> dict[str, str]:
        return {id_: row["state"] for id_, row in self.rows.items() if row["reason"] is None}


def _field(value: str | int | bool) -> bytes:
    if isinstance(value, bool):
        return bytes([value])
    return struct.pack(">q", value) if isinstance(value, int) else value.encode()
