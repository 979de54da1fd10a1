"""The evaluation of one contact: its executions, and their steps."""

from collections.abc import Mapping
from typing import Any, Protocol
from uuid import NAMESPACE_DNS, UUID, uuid5

from tests.support.reference.executions.plans import (
    ACTION,
    BRANCH,
    EXIT,
    WAIT_FOR_EVENT,
    WAIT_UNTIL,
    Described,
    Plan,
)
from tests.support.reference.executions.runs import Evaluated, Run, Workflow

NAMESPACE = uuid5(NAMESPACE_DNS, "goald")
Input = Mapping[str, Any]


def derived(*parts: str) -> UUID:
    return uuid5(NAMESPACE, "".join(f"{len(part.encode())}:{part}" for part in parts))


def event_key(event: Mapping[str, Any]) -> str:
    return str(derived(event["source"], event["id"]))


class Committed(Protocol):
    """The committed state, see `ExecutionModel`."""

    tenant: str
    zones: Any
    keep_failed_ms: int
    workflows: dict[str, Workflow]
    runs: dict[str, Run]
    last_started: dict[tuple[str, str], int]
    contacts: dict[str, Described]
    used: dict[tuple[str, str], set[str]]


class Turn:
    """The evaluation of one contact."""

    def __init__(
        self,
        model: Committed,
        contact: str,
        now: int,
        grants: set[str] | None,
        result: Evaluated,
    ) -> None:
        self.model = model
        self.contact = contact
        self.now = now
        self.grants = grants
        self.result = result
        self.described = model.contacts.get(contact, Described())
        self.before = {
            id_: run.but(job=None)
            for id_, run in model.runs.items()
            if run.contact == contact and run.ended is None
        }
        self.runs = dict(self.before)
        self.last_started = {
            workflow: at for (of, workflow), at in model.last_started.items() if of == contact
        }
        self.later: set[str] = set()
        self.answered: set[str] = set()
        """The runs whose gates need not be closed."""
        self.begun: dict[str, tuple[int, int]] = {}
        """When the new runs started."""
        self.watermark = (now, 0)
        """Waits that no entry begins begin then."""
        self.used = {
            workflow: set(keys) for (of, workflow), keys in model.used.items() if of == contact
        }
        self.seen: list[tuple[Input, Described]] = []
        """The events that may end waits, and the contact after each."""

    def finish(self) -> None:
        for id_, run in self.runs.items():
            before = self.before.get(id_)
            if run == before:
                continue
            self.result.after[id_] = run
            if before is not None:
                self.result.before[id_] = before
                is_same = run.ended is None and (
                    (run.state, run.attempt) == ("running", before.attempt)
                )
                if before.state == "running" and not is_same and id_ not in self.answered:
                    self.result.closes.add(id_)
            if id_ not in self.later:
                self.result.first_phase.add(id_)

    def workflow(self, run: Run) -> Workflow:
        return self.model.workflows[run.workflow]

    def plan(self, run: Run) -> Plan:
        return self.workflow(run).versions[run.version]

    def change(self, id_: str, **changes: Any) -> Run:
        self.runs[id_] = self.runs[id_].but(**changes)
        return self.runs[id_]

    def live(self, id_: str) -> Run | None:
        run = self.runs.get(id_)
        return run if run is not None and run.ended is None else None

    def ordered(self) -> list[str]:
        """The live runs, the oldest first, and those that were started now last."""
        old = sorted(self.before, key=lambda id_: (self.before[id_].started_at, id_))
        new = [id_ for id_ in self.runs if id_ not in self.before]
        return [id_ for id_ in old + new if self.runs[id_].ended is None]

    def log(self, id_: str | None, event: str, at: int) -> None:
        if id_ is None:
            self.result.logs.append((None, event, at, None, 0))
            return
        run = self.runs[id_]
        step = self.plan(run).step_id(run.step) or None
        self.result.logs.append((id_, event, at, step, run.attempt))

    def cancel_all(self, reason: str, at: int, until: int | None = None) -> None:
        for id_ in self.ordered():
            if until is None or self.runs[id_].started_at <= until:
                self.cancel(id_, reason, at)

    def cancel(self, id_: str, reason: str, at: int) -> None:
        self.change(id_, ended=reason)
        self.log(id_, "execution_cancelled", at)

    def complete(self, id_: str, reason: str, at: int) -> None:
        self.change(id_, ended=reason)
        if reason == "goal_achieved":
            self.log(id_, "goal_achieved", at)
        self.log(id_, "execution_completed", at)

    def finish_step(self, id_: str) -> None:
        run = self.runs[id_]
        self.change(id_, done=run.done | {self.plan(run).step_id(run.step)})

    def migrate(self, id_: str, position: int) -> int:
        run = self.runs[id_]
        old = self.plan(run)
        run = self.change(id_, migrates=False, version=self.workflow(run).current)
        return old.moved(position, self.plan(run))

    def enter(
        self, id_: str, position: int, received: tuple[int, int], due: int, expired: bool = False
    ) -> None:
        """Continue at a position. Waits begin at the entry that was received; lateness counts from
        `due`; an `expired` action is skipped."""
        at = received[0]
        while True:
            if self.runs[id_].migrates:
                position = self.migrate(id_, position)
            run = self.change(
                id_, step=position, visit=1, attempt=0, retries=0, due=None, zone="UTC",
                since_seq=0,
            )  # fmt: skip
            plan = self.plan(run)
            if position == plan.end:
                return self.complete(id_, "finished", at)
            step = plan.steps[position]
            if plan.step_id(position) in run.done:
                self.log(id_, "skipped_already_done", at)
                after = plan.following(position)
                position = plan.end if after is None else after
            elif step[0] == ACTION and expired:
                self.log(id_, "skipped_expired", at)
                expired, due = False, at
                self.finish_step(id_)
                position = step[3]
            elif step[0] == ACTION:
                self.change(id_, since=due, state="ready" if run.has_permit else "queued")
                return None
            elif step[0] == BRANCH:
                holds, _ = plan.condition(step[5], self.described)
                self.log(id_, "condition_evaluated", at)
                self.finish_step(id_)
                position = step[3] if holds else step[4]
            elif step[0] == EXIT:
                self.finish_step(id_)
                return self.complete(id_, "finished", at)
            else:
                return self.start_wait(id_, received)

    def start_wait(self, id_: str, received: tuple[int, int]) -> None:
        at, run = received[0], self.runs[id_]
        plan = self.plan(run)
        step = plan.steps[run.step]
        zone = self.zone_of_wait(plan, run.step)
        state = "listening" if step[0] == WAIT_FOR_EVENT else "sleeping"
        due = plan.end_of_wait(run.step, at, zone)
        self.change(id_, since=at, zone=zone, state=state, due=due)
        if state == "listening":
            self.change(id_, since_seq=received[1])
        self.log(id_, "wait_started", at)

    def zone_of_wait(self, plan: Plan, position: int) -> str:
        step = plan.steps[position]
        if step[0] != WAIT_UNTIL:
            return "UTC"
        choices = (step[7], self.described.timezone, plan.timezone)
        known = [name for name in choices if name is not None and name in self.model.zones]
        return str(known[0]) if known else "UTC"
