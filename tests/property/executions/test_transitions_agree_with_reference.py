"""The matcher in Rust decides about goals and executions as the plain model does (§4, X1 to X14),
in one proposal: also if events, results and timers of a group come in any order, late or again, for
commits in any slices, and if memory is lost at any time, a commit and its application included.

EXECUTION_HISTORIES (100) sets the number of histories. A seed gives the same history again."""

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.pipeline.execution_table import Batch, ExecutionShard
from tests.support.reference.executions import Evaluated, ExecutionModel, Run, Workflow
from tests.support.reference.executions.histories import (
    CONTACTS,
    WORKFLOWS,
    ZONES,
    Crash,
    Feed,
    Generator,
    History,
    Publish,
    SetActive,
)
from tests.support.reference.executions.plans import Described, Plan

from goald import _native

TENANT = "acme"
HISTORIES = int(os.environ.get("EXECUTION_HISTORIES", "100"))
DESCRIBING = ("contact.updated", "contact.deleted")
Input = dict[str, Any]


class Comparison:
    """The model and the matcher, fed with the same inputs."""

    def __init__(self, history: History) -> None:
        self.now = history.start_ms
        self.model = ExecutionModel(TENANT, ZONES, 2_592_000_000)
        self.shard = ExecutionShard(TENANT, ZONES)
        self.serial = 0
        self.delivered: list[Input] = []
        self.attempts: list[tuple[str, str, int, int]] = []
        """(execution, step, visit, attempt) of every job that was published."""
        for name, plan in zip(WORKFLOWS, history.plans, strict=True):
            self.publish(name, plan)

    def publish(self, name: str, encoded: list[Any]) -> None:
        workflow = self.model.workflows.setdefault(name, Workflow(name))
        workflow.current = (workflow.current or 0) + 1
        workflow.versions[workflow.current] = Plan(encoded, workflow.current)
        self.shard.configure(workflow)

    def set_active(self, step: SetActive) -> None:
        workflow = self.model.workflows[step.workflow]
        if step.is_active and not workflow.is_active:
            workflow.activated_at = self.now
            workflow.overdue = step.overdue
        workflow.is_active = step.is_active
        self.shard.configure(workflow)

    def feed(self, step: Feed) -> None:
        self.now += step.advance_ms
        inputs = [each for given in step.inputs if (each := self.resolve(given)) is not None]
        self.delivered += [each for each in inputs if "seq" in each]
        if step.crash != "none":
            self.evaluate(inputs, step, step.crash)
            self.shard.reload()
            self.assert_same_rows()
        if step.events_first:
            inputs = self.evaluate(inputs, step, "none", only_events=True)
        self.evaluate(inputs, step, "none")
        self.assert_same_rows()

    def evaluate(
        self, inputs: list[Input], step: Feed, crash: str, only_events: bool = False
    ) -> list[Input]:
        """Evaluate and commit. Returns the inputs that must be evaluated afterwards."""
        grants = self.grants(step.grants)
        expected = self.model.evaluate(inputs, self.now, grants, only_events)
        proposal = self.shard.evaluate(_batch(inputs), self.now, grants, only_events)
        ended = {id_ for id_, run in self.model.runs.items() if run.ended is not None}
        _assert_same(expected, proposal, ended)
        later = _later(inputs, proposal)
        assert only_events or not later
        if crash == "before":
            return []
        slices = proposal.slices(step.slice_size, 1 << 40)
        if step.slice_size == 2 and len(slices) == 1 and (halves := proposal.halves()):
            slices = list(halves)
        if crash == "between":
            slices = slices[: len(slices) // 2]
        committed: set[str] = set()
        for part in slices:
            self.shard.commit(part)
            if part.executions is not None:
                committed |= set(part.executions.transitions.execution_id)
            if crash == "none":
                self.shard.apply(part)
        _assert_contacts_are_whole(expected, committed)
        is_whole = crash != "between"
        described = _described(inputs) if is_whole else {}
        self.model.commit(expected, described, None if is_whole else committed)
        self.shard.contacts.update(described)
        for id_ in committed:
            run = self.model.runs[id_]
            if run.job is not None:
                plan = self.model.workflows[run.workflow].versions[run.version]
                attempt = (id_, plan.step_id(run.step), run.visit, run.attempt)
                assert attempt not in self.attempts
                self.attempts.append(attempt)
        return later

    def grants(self, kind: str) -> set[str] | None:
        if kind == "all":
            return None
        due = [run.id for run in self.model.runs.values() if run.state in ("queued", "ready")]
        live = sorted(id_ for id_ in due if self.model.runs[id_].ended is None)
        return set(live[::2]) if kind == "half" else set()

    def resolve(self, given: tuple[Any, ...]) -> Input | None:
        """An input of the history, for the executions that exist."""
        kind = given[0]
        self.serial += 1
        base: Input = {"kind": kind, "at": self.now, "request": f"e-{self.serial}"}
        streamed = base | {"seq": self.serial}
        match given:
            case ["again", number]:
                return self.delivered[number % len(self.delivered)] if self.delivered else None
            case ["trigger", contact, workflow, key]:
                return streamed | {"contact": contact, "workflow": workflow, "key": str(key)}
            case ["form", contact, form, hops, age]:
                event = self.event("form.submitted", {"form_id": form}, age * 1_000)
                return _event(streamed, contact, event, hops)
            case ["pay", contact, product, age]:
                event = self.event("payment.completed", {"product_id": product}, age)
                return _event(streamed, contact, event, 0)
            case ["describe", contact, described, changed, hops]:
                data = {"opted_in": described.opted_in, "attributes": {changed: 1}}
                event = self.event("contact.updated", data) | {"changed": [changed]}
                return _event(streamed, contact, event, hops) | {"described": described}
            case ["delete", contact, age]:
                return _event(streamed, contact, self.event("contact.deleted", {}, age), 0)
            case ["result", number, *rest]:
                return self.resolve_attempt(streamed, number, rest)
            case ["gate", number, *rest]:
                return self.resolve_attempt(base, number, rest)
        runs = sorted(self.model.runs.values(), key=lambda run: (run.ended is not None, run.id))
        failed = [run for run in runs if run.ended is None and run.state == "failed"]
        live = [run for run in runs if run.ended is None]
        runs = (kind == "retry" and failed) or (kind == "migrate" and live) or runs
        if not runs:
            return None
        run = runs[given[1] % len(runs)]
        if kind == "end":
            data = {"enrollment_id": run.id, "workflow_id": run.workflow, "reason": "completed"}
            event = self.event("workflow.enrollment.ended", data)
            return _event(streamed, run.contact, event, 0)
        if kind == "cancel":
            base["reason"] = given[2]
        is_streamed = kind == "retry" or (kind == "cancel" and given[2] == "user")
        base = base | streamed if is_streamed else base
        return base | {"contact": run.contact, "execution": run.id}

    def resolve_attempt(self, base: Input, number: int, rest: Sequence[Any]) -> Input | None:
        running = [run for run in self.model.runs.values() if run.state == "running"]
        live = sorted((run for run in running if run.ended is None), key=lambda run: run.id)
        if live and (len(rest) == 1 or rest[1] == 0):
            run = live[number % len(live)]
            plan = self.model.workflows[run.workflow].versions[run.version]
            attempt = (run.id, plan.step_id(run.step), run.visit, run.attempt)
        elif self.attempts:
            attempt = self.attempts[number % len(self.attempts)]
            run = self.model.runs[attempt[0]]
        else:
            return None
        id_, step, visit, serial = attempt
        base |= {"contact": run.contact, "execution": id_, "step": step, "visit": visit}
        base["attempt"] = serial
        if len(rest) == 1:
            return base | {"gate": rest[0], "is_keyed": number % 2 == 0}
        more = {"duration": 40, "delay": 30_000, "is_keyed": rest[2]}
        return base | {"outcome": rest[0]} | more

    def event(self, kind: str, data: dict[str, Any], age: int = 0) -> dict[str, Any]:
        time_ms = self.now - age
        return {
            "id": f"e-{self.serial}",
            "source": "goald/actions",
            "type": kind,
            "time_ms": time_ms,
            "data": data,
            "changed": [],
        }

    def assert_same_rows(self) -> None:
        assert self.shard.in_memory() == self.shard.in_rows()
        assert set(self.shard.rows) == set(self.model.runs)
        for id_, run in self.model.runs.items():
            row = self.shard.rows[id_]
            assert row["done"] == run.done
            assert self.shard.used[id_] == run.used
            assert (row["state"], row["reason"]) == (run.state, run.ended)


def _event(base: Input, contact: str, event: dict[str, Any], hops: int) -> Input:
    return base | {
        "kind": "event", "contact": contact, "event": event, "hops": hops, "described": None,
    }  # fmt: skip


TYPES = {
    "trigger": "workflow.execution.requested",
    "cancel": "workflow.execution.cancel_requested",
    "retry": "workflow.execution.retry_requested",
    "result": "workflow.action.finished",
}
NAMES = {
    "execution": "execution_id", "workflow": "workflow_id", "key": "key", "reason": "reason",
    "step": "step_id", "visit": "visit", "attempt": "attempt", "outcome": "outcome",
    "duration": "duration_ms", "delay": "delay_ms", "is_keyed": "is_keyed", "gate": "gate",
}  # fmt: skip


def _batch(inputs: Sequence[Input]) -> Batch:
    """The events of a group as a buffer, and its other inputs."""
    entries = [
        (f"{each['at']}-{each['seq']}".encode(), _entry(each)) for each in inputs if "seq" in each
    ]
    described: dict[str, list[Described | None]] = {}
    for each in inputs:
        changes = each["kind"] == "event" and each["event"]["type"] in DESCRIBING
        if changes:
            steps = described.setdefault(each["contact"], [])
            # A deletion changes no description here: the model has no projection of contacts.
            steps.append(each["described"] or (steps[-1] if steps else None))
    return Batch(_native.buffer_of(entries), _others(inputs), described)


def _others(inputs: Sequence[Input]) -> list[dict[str, object]]:
    """The inputs that are on no stream."""
    return [
        {"kind": each["kind"], "tenant_id": TENANT, "contact_id": each["contact"]}
        | {"at_ms": each["at"]}
        | {name: each[key] for key, name in NAMES.items() if key in each}
        for each in inputs
        if "seq" not in each
    ]


def _entry(given: Input) -> bytes:
    event = given.get("event") or {
        "id": given["request"],
        "source": "goald/api",
        "type": TYPES[given["kind"]],
        "time_ms": given["at"],
        "data": {name: given[key] for key, name in NAMES.items() if key in given},
    }
    time = datetime.fromtimestamp(event["time_ms"] // 1_000, UTC).replace(
        microsecond=event["time_ms"] % 1_000 * 1_000
    )
    payload = {
        "id": event["id"],
        "source": event["source"],
        "type": event["type"],
        "time": time.isoformat(timespec="milliseconds"),
        "tenantid": TENANT,
        "data": {**event["data"], "contact_id": given["contact"]},
    }
    if given.get("hops"):
        payload["hops"] = given["hops"]
    return json.dumps(payload).encode()


def _later(inputs: Sequence[Input], proposal: _native.Proposal) -> list[Input]:
    """The inputs whose evaluation was deferred."""
    deferred = {
        id_ for _, _, _, buffer in proposal.deferred for id_, _ in _native.buffer_entries(buffer)
    }
    entries = [each for each in inputs if "seq" in each]
    later = [each for each in entries if f"{each['at']}-{each['seq']}".encode() in deferred]
    results = [each for each in inputs if each["kind"] == "result"]
    assert not deferred or all(each in later for each in results)
    others = [each for each in inputs if "seq" not in each]
    executions = proposal.executions
    postponed = [] if executions is None else executions.postponed
    return later + [others[number] for number in postponed]


def _described(inputs: Sequence[Input]) -> Mapping[str, Any]:
    given = [each for each in inputs if each.get("described") is not None]
    return {each["contact"]: each["described"] for each in given}


def _assert_same(expected: Evaluated, whole: _native.Proposal, ended: set[str]) -> None:
    proposal = whole.executions
    _assert_same_enrollments(expected, whole, ended)
    if proposal is None:
        assert not expected.after
        assert not expected.logs
        assert not expected.answers
        return
    rows = proposal.transitions
    assert sorted(rows.execution_id) == sorted(expected.after)
    for at, id_ in enumerate(rows.execution_id):
        run = expected.after[id_]
        before = expected.before.get(id_)
        job = rows.job[at]
        actual = (
            rows.contact_id[at], rows.workflow_id[at], rows.version[at], rows.started_at_ms[at],
            rows.state[at], rows.status[at], rows.reason[at], rows.step_index[at], rows.visit[at],
            rows.attempt[at], rows.retry_count[at], rows.hops[at], rows.zone[at],
            rows.since_ms[at], rows.since_seq[at], rows.due_ms[at], rows.migrates[at],
            None if job is None else job[0], rows.had_permit[at], rows.has_permit[at],
            rows.is_first_phase[at], rows.closes_gate[at], rows.guard[at] is None,
        )  # fmt: skip
        assert actual == (
            run.contact, run.workflow, run.version, run.started_at,
            run.state, run.status, run.ended, run.step + 1, run.visit,
            run.attempt, run.retries, run.hops, run.zone,
            run.since, run.since_seq, run.due, run.migrates,
            run.job, before is not None and before.has_permit, run.has_permit,
            id_ in expected.first_phase, id_ in expected.closes, before is None,
        ), id_  # fmt: skip
        old = Run("", "", "", 0, 0) if before is None else before
        assert set(rows.used_events[at]) == run.used - old.used
        assert set(rows.done_steps[at]) >= run.done - old.done
    rows_of_log = proposal.logs
    ids = rows.execution_id
    executions = [
        execution if number is None else ids[number]
        for number, execution in zip(rows_of_log.transition, rows_of_log.execution_id, strict=True)
    ]
    logs = zip(
        executions, rows_of_log.event_type, rows_of_log.at_ms, rows_of_log.step_id,
        rows_of_log.attempt, strict=True,
    )  # fmt: skip
    assert sorted(map(repr, logs)) == sorted(map(repr, expected.logs))
    # Answers to other inputs have their number instead.
    answers = [
        (event, answer) for _, event, _, _, answer, _ in proposal.answers if event is not None
    ]
    others = [answer for number, *_, answer, _ in proposal.answers if number is not None]
    of_events = [each for each in expected.answers if each in answers]
    assert sorted(answers) == sorted(of_events)
    assert sorted(others) == sorted(each[1] for each in expected.answers if each not in answers)
    delays = [(action, until) for _, action, _, until in proposal.delays]
    assert sorted(map(repr, delays)) == sorted(map(repr, expected.delays))
    notified = [(rows.execution_id[at], kind) for at, kind, _ in proposal.notifications]
    assert sorted(notified) == sorted(expected.notifications)


def _assert_same_enrollments(
    expected: Evaluated, proposal: _native.Proposal, ended: set[str]
) -> None:
    """Enrollments start and end with their executions, by one effect each. Those that have ended
    may end once more, which the commit ignores."""
    statuses = {
        None: "active", "finished": "completed", "goal_achieved": "completed_goal",
        "failed_expired": "exited",
    }  # fmt: skip
    changed = {
        id_: "completed" if id_ in expected.ended_by_event else statuses.get(run.ended, "cancelled")
        for id_, run in expected.after.items()
        if run.ended is not None or id_ not in expected.before
    }
    effects = proposal.effects
    rows = zip(effects.enrollment_id, effects.status, strict=True)
    assert {id_: status for id_, status in rows if id_ not in ended} == changed
    met = [id_ for id_, run in expected.after.items() if run.ended == "goal_achieved"]
    assert sorted(effects.enrollment_id[at] for at in proposal.exits.effect) == sorted(met)


def _assert_contacts_are_whole(expected: Evaluated, committed: set[str]) -> None:
    """All of a contact is committed together, so later phases are never committed before its first
    phase (X1)."""
    for contact in CONTACTS:
        changed = {id_ for id_, run in expected.after.items() if run.contact == contact}
        assert changed <= committed or not changed & committed


@settings(max_examples=HISTORIES, deadline=None, database=None)
@given(st.integers(0, 1 << 48))
def test_executions_make_the_transitions_of_the_model(seed: int) -> None:
    play(Generator(seed).history())


def play(history: History) -> None:
    both = Comparison(history)
    for step in history.steps:
        match step:
            case Feed():
                both.feed(step)
            case Publish(workflow, plan):
                both.publish(workflow, plan)
            case SetActive():
                both.set_active(step)
            case Crash():
                both.shard.reload()
                both.assert_same_rows()
