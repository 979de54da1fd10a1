"""The state machine of executions of one tenant (§4, X1 to X14)."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_DNS, UUID, uuid5

from tests.support.reference.executions.plans import (
    ACTION,
    BRANCH,
    EXIT,
    WAIT_FOR_EVENT,
    WAIT_UNTIL,
    WAITS,
    Described,
    Plan,
)
from tests.support.reference.executions.runs import Evaluated, Run, Workflow

NAMESPACE = uuid5(NAMESPACE_DNS, "goald")
MAX_DELAY = 30 * 86_400_000
Input = Mapping[str, Any]


def derived(*parts: str) -> UUID:
    return uuid5(NAMESPACE, "".join(f"{len(part.encode())}:{part}" for part in parts))


def event_key(event: Mapping[str, Any]) -> str:
    return str(derived(event["source"], event["id"]))


class ExecutionModel:
    """The committed executions, and the evaluation of inputs."""

    def __init__(self, tenant: str, zones: Sequence[str], keep_failed_ms: int) -> None:
        self.tenant = tenant
        self.zones = zones
        self.keep_failed_ms = keep_failed_ms
        self.workflows: dict[str, Workflow] = {}
        self.runs: dict[str, Run] = {}
        """By id, those that have ended too."""
        self.last_started: dict[tuple[str, str], int] = {}
        """By contact and workflow."""
        self.contacts: dict[str, Described] = {}

    def evaluate(
        self,
        inputs: Sequence[Input],
        now: int,
        grants: set[str] | None,
        only_events: bool = False,
    ) -> Evaluated:
        """The contacts of the inputs, of due timers and of grants, each in four phases (X1).
        `grants`: None for all executions of these contacts. `now` is the watermark too."""
        result = Evaluated()
        contacts = {each["contact"] for each in inputs}
        if not only_events:
            contacts |= {run.contact for run in self.runs.values() if self._fires(run, now)}
            contacts |= {self.runs[id_].contact for id_ in grants or ()}
        for contact in sorted(contacts):
            of_contact = [
                (at, each) for at, each in enumerate(inputs) if each["contact"] == contact
            ]
            turn = _Turn(self, contact, now, grants, result)
            turn.evaluate(of_contact, only_events)
        return result

    def _fires(self, run: Run, now: int) -> bool:
        if run.ended is not None or run.due is None or run.due > now:
            return False
        return run.state == "failed" or self.workflows[run.workflow].is_active

    def commit(
        self, result: Evaluated, contacts: Mapping[str, Described], only: set[str] | None = None
    ) -> None:
        """Commit the changes of these executions; None for all."""
        for id_, run in result.after.items():
            if only is not None and id_ not in only:
                continue
            if id_ not in self.runs:
                key = (run.contact, run.workflow)
                self.last_started[key] = max(run.started_at, self.last_started.get(key, 0))
            self.runs[id_] = run
        self.contacts.update(contacts)


class _Turn:
    """The evaluation of one contact."""

    def __init__(
        self,
        model: ExecutionModel,
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

    def evaluate(self, inputs: Sequence[tuple[int, Input]], only_events: bool) -> None:
        for number, each in inputs:
            self.apply_event(number, each)
        if not only_events:
            for _, each in inputs:
                if each["kind"] == "result":
                    self.apply_result(each)
                elif each["kind"] == "gate":
                    self.apply_gate(each)
            self.fire_timers()
            self.release()
        self.finish()

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

    # Access.

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

    # Phase 1: events.

    def apply_event(self, number: int, given: Input) -> None:
        at, id_ = given["at"], given.get("execution", "")
        run = self.live(id_)
        match given["kind"]:
            case "event":
                self.happen(given, at)
            case "trigger":
                id_ = self.derived_id("request", given["workflow"], given["key"])
                self.answer(number, self.start(given["workflow"], id_, at, 0))
            case "goal_achieved" if run is not None:
                self.complete(id_, "goal_achieved", at)
            case "cancel":
                if run is not None:
                    self.cancel(id_, given["reason"], at)
                self.answer(number, "not_found" if run is None else "accepted")
            case "retry":
                self.answer(number, self.retry(id_, at))
            case "migrate":
                if run is not None:
                    self.request_migration(id_)
                self.answer(number, "not_found" if run is None else "accepted")
            case "resume" if run is not None and run.state == "on_hold":
                self.change(id_, state="queued")

    def answer(self, number: int, answer: str) -> None:
        self.result.answers.append((number, answer))

    def derived_id(self, kind: str, workflow: str, *trigger: str) -> str:
        parts = ("execution", kind, self.model.tenant, workflow, self.contact, *trigger)
        return str(derived(*parts))

    def happen(self, given: Input, at: int) -> None:
        event = given["event"]
        if given["described"] is not None:
            self.described = given["described"]
            if self.described.opted_in is False:
                self.cancel_all("contact_opted_out", at)
        if event["type"] == "contact.deleted":
            self.cancel_all("contact_deleted", at, event["time_ms"])
            return
        for id_ in self.ordered():
            if self.runs[id_].state == "listening":
                self.end_listening(id_, event, at)
        for name, workflow in self.model.workflows.items():
            plan = workflow.versions[workflow.current] if workflow.current is not None else None
            trigger = plan.encoded[3] if plan else None
            if plan is None or trigger is None:
                continue
            if not plan.selects(trigger, event, self.described):
                continue
            if given["hops"] >= 10:
                self.log(None, "hop_limit_reached", at)
                continue
            id_ = self.derived_id("event", name, event["source"], event["id"])
            self.start(name, id_, at, given["hops"])

    def end_listening(self, id_: str, event: Mapping[str, Any], at: int) -> None:
        run = self.runs[id_]
        step = self.plan(run).steps[run.step]
        key = event_key(event)
        started_by = self.derived_id("event", run.workflow, event["source"], event["id"])
        if (
            at <= run.since
            or event["time_ms"] < run.started_at
            or not self.plan(run).selects(step[5], event, self.described)
            or key in run.used
            or started_by == id_
        ):
            return
        self.change(id_, used=run.used | {key})
        self.log(id_, "wait_ended", at)
        self.finish_step(id_)
        self.enter(id_, step[3], at, at)

    def start(self, name: str, id_: str, at: int, hops: int) -> str:
        workflow = self.model.workflows.get(name)
        if workflow is None or workflow.current is None or not workflow.is_active:
            return "inactive_workflow"
        if id_ in self.model.runs or id_ in self.runs:
            return "repeated"
        if self.described.opted_in is False:
            self.log(None, "opt_out_blocked", at)
            return "opted_out"
        blocked = self.blocked(workflow, at)
        if blocked is not None:
            self.log(None, "deduplication_blocked", at)
            return blocked
        for other in self.ordered():
            run = self.runs[other]
            if run.workflow == name and run.state == "failed":
                self.cancel(other, "superseded", at)
        self.last_started[name] = max(at, self.last_started.get(name, 0))
        self.runs[id_] = Run(id_, self.contact, name, workflow.current, at, hops=hops, since=at)
        self.log(id_, "execution_started", at)
        self.enter(id_, 0, at, at)
        return "started"

    def blocked(self, workflow: Workflow, at: int) -> str | None:
        last = self.last_started.get(workflow.id)
        if last is not None and abs(at - last) < 5_000:
            return "duplicate"
        assert workflow.current is not None
        allow, min_interval = workflow.versions[workflow.current].encoded[2]
        running = [
            run
            for run in self.runs.values()
            if run.workflow == workflow.id and run.ended is None and run.state != "failed"
        ]
        if allow == 0 and running:
            return "already_running"
        if allow == 1 and last is not None:
            return "not_allowed_again"
        if last is not None and at - last < min_interval // 1_000:
            return "not_allowed_again"
        return None

    def retry(self, id_: str, at: int) -> str:
        run = self.live(id_)
        if run is None:
            return "not_found"
        if run.state != "failed":
            return "not_failed"
        if self.described.opted_in is False:
            return "opted_out"
        if not self.workflow(run).is_active:
            return "inactive_workflow"
        self.change(
            id_, state="queued", visit=run.visit + 1, attempt=0, retries=0, since=at, due=None
        )
        self.log(id_, "manual_retry", at)
        return "accepted"

    def request_migration(self, id_: str) -> None:
        run = self.runs[id_]
        current = self.workflow(run).current
        if run.state == "failed" or current in (None, run.version):
            return
        self.change(id_, migrates=True)
        if run.attempt > 0:
            return
        old_step = self.plan(run).step_id(run.step)
        position = self.migrate(id_, run.step)
        run = self.change(id_, step=position)
        plan = self.plan(run)
        stays = plan.step_id(position) == old_step
        code = plan.code(position)
        waits = run.state in ("sleeping", "listening")
        if stays and code in WAITS and waits:
            state = "listening" if code == WAIT_FOR_EVENT else "sleeping"
            zone = self.zone_of_wait(plan, position)
            due = plan.end_of_wait(position, run.since, zone)
            self.change(id_, state=state, zone=zone, due=due)
        elif not (stays and code == ACTION and not waits):
            self.enter(id_, position, self.now, self.now)

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

    # Steps.

    def finish_step(self, id_: str) -> None:
        run = self.runs[id_]
        self.change(id_, done=run.done | {self.plan(run).step_id(run.step)})

    def migrate(self, id_: str, position: int) -> int:
        run = self.runs[id_]
        old = self.plan(run)
        run = self.change(id_, migrates=False, version=self.workflow(run).current)
        return old.moved(position, self.plan(run))

    def enter(self, id_: str, position: int, at: int, due: int, expired: bool = False) -> None:
        """Continue at a position. Waits begin at `at`; lateness counts from `due`; an `expired`
        action is skipped."""
        while True:
            if self.runs[id_].migrates:
                position = self.migrate(id_, position)
            run = self.change(
                id_, step=position, visit=1, attempt=0, retries=0, due=None, zone="UTC"
            )
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
                return self.start_wait(id_, at)

    def start_wait(self, id_: str, at: int) -> None:
        run = self.runs[id_]
        plan = self.plan(run)
        step = plan.steps[run.step]
        zone = self.zone_of_wait(plan, run.step)
        state = "listening" if step[0] == WAIT_FOR_EVENT else "sleeping"
        due = plan.end_of_wait(run.step, at, zone)
        self.change(id_, since=at, zone=zone, state=state, due=due)
        self.log(id_, "wait_started", at)

    def zone_of_wait(self, plan: Plan, position: int) -> str:
        step = plan.steps[position]
        if step[0] != WAIT_UNTIL:
            return "UTC"
        choices = (step[7], self.described.timezone, plan.timezone)
        known = [name for name in choices if name is not None and name in self.model.zones]
        return str(known[0]) if known else "UTC"

    # Phase 2: results.

    def outstanding(self, given: Input) -> Run | None:
        run = self.live(given["execution"])
        if run is None or run.state != "running":
            return None
        attempt = (self.plan(run).step_id(run.step), run.visit, run.attempt)
        same = attempt == (given["step"], given["visit"], given["attempt"])
        return run if same else None

    def apply_result(self, given: Input) -> None:
        at, id_, outcome = given["at"], given["execution"], given["outcome"]
        run = self.outstanding(given)
        if run is None:
            late = (id_, "late_result", at, given["step"], given["attempt"])
            self.result.logs.append(late)
            return
        self.later.add(id_)
        self.answered.add(id_)
        step = self.plan(run).steps[run.step]
        policy = step[7]
        if not outcome.startswith("refused"):
            self.log(id_, "action_started", at - given["duration"])
        if outcome in ("retry", "skip", "pause", "unknown"):
            self.log(id_, "action_failed", at)
        match outcome:
            case "success":
                self.log(id_, "action_completed", at)
                self.pass_step(id_, step, at)
            case "retry":
                self.schedule_retry(id_, step, at)
            case "skip" if policy[3] == "fail":
                self.fail(id_, at)
            case "skip":
                self.log(id_, "skipped_non_retryable_error", at)
                self.pass_step(id_, step, at)
            case "pause":
                self.change(id_, state="on_hold", due=None)
                self.result.delays.append((step[4], None))
                self.result.notifications.append((id_, "connection_paused"))
            case "rate_limit":
                until = at + min(max(given["delay"], 0), MAX_DELAY)
                self.log(id_, "rate_limit_hit", at)
                self.change(id_, state="rate_limited", due=until)
                self.result.delays.append((step[4], until))
            case "unknown":
                self.apply_unknown(id_, step, given["is_keyed"], at)
            case "refused":
                self.change(id_, state="ready", due=None)
            case "refused_inactive":
                self.change(id_, state="inactive", due=run.since)

    def pass_step(self, id_: str, step: list[Any], at: int) -> None:
        self.finish_step(id_)
        self.enter(id_, step[3], at, at)

    def apply_unknown(self, id_: str, step: list[Any], is_keyed: bool, at: int) -> None:
        self.log(id_, "outcome_unknown", at)
        policy = step[7][4]
        if is_keyed or policy == "retry":
            self.schedule_retry(id_, step, at)
        elif policy == "fail":
            self.fail(id_, at)
        else:
            self.pass_step(id_, step, at)

    def schedule_retry(self, id_: str, step: list[Any], at: int) -> None:
        most, base, exhausted, *_ = step[7]
        retries = self.runs[id_].retries
        if retries < (3 if most is None else most):
            delay = min((60_000 if base is None else base // 1_000) * 2**retries, MAX_DELAY)
            self.change(id_, retries=retries + 1)
            self.log(id_, "retry_scheduled", at)
            self.change(id_, state="backing_off", due=at + delay)
            return
        self.log(id_, "max_retries_exhausted", at)
        if exhausted == "fail":
            self.fail(id_, at)
        else:
            self.pass_step(id_, step, at)

    def fail(self, id_: str, at: int) -> None:
        self.change(id_, state="failed", due=at + self.model.keep_failed_ms)
        self.result.notifications.append((id_, "failed"))

    def apply_gate(self, given: Input) -> None:
        run = self.outstanding(given)
        if run is None or given["gate"] == "open":
            return
        at, id_ = given["at"], run.id
        self.later.add(id_)
        self.answered.add(id_)
        self.log(id_, "execution_recovered", at)
        if given["gate"] == "closed":
            self.change(id_, state="ready", due=None)
            return
        self.log(id_, "action_failed", at)
        self.apply_unknown(id_, self.plan(run).steps[run.step], given["is_keyed"], at)

    # Phase 3: timers.

    def fire_timers(self) -> None:
        for id_ in self.ordered():
            before = self.before.get(id_)
            due = None if before is None else before.due
            if due is None or due > self.now or self.runs[id_].due != due:
                continue
            if self.runs[id_].state == "failed":
                self.later.add(id_)
                self.cancel(id_, "failed_expired", self.now)
            elif self.workflow(self.runs[id_]).is_active:
                self.later.add(id_)
                self.fire(id_, due)

    def overdue(self, run: Run, due: int) -> str | None:
        workflow = self.workflow(run)
        activated = workflow.activated_at
        return workflow.overdue if activated is not None and due < activated else None

    def fire(self, id_: str, due: int) -> None:
        run = self.runs[id_]
        overdue = self.overdue(run, due)
        if overdue == "cancel":
            return self.cancel(id_, "user", self.now)
        step = self.plan(run).steps[run.step]
        if step[0] not in WAITS:
            self.change(id_, state="queued", due=None)
            if overdue == "skip":
                self.skip_expired(id_)
            return None
        self.log(id_, "wait_ended", self.now)
        self.finish_step(id_)
        next_ = step[4] if step[0] == WAIT_FOR_EVENT else step[3]
        return self.enter(id_, next_, self.now, due, overdue == "skip")

    def skip_expired(self, id_: str) -> None:
        run = self.runs[id_]
        self.later.add(id_)
        self.log(id_, "skipped_expired", self.now)
        self.pass_step(id_, self.plan(run).steps[run.step], self.now)

    # Phase 4: jobs.

    def release(self) -> None:
        for id_ in self.ordered():
            while self.runs[id_].ended is None and self.runs[id_].state in ("queued", "ready"):
                if not self.is_skipped(id_):
                    self.release_job(id_)
                    break

    def is_skipped(self, id_: str) -> bool:
        run = self.runs[id_]
        if not self.workflow(run).is_active:
            return False
        most = self.plan(run).steps[run.step][8]
        if most is not None and self.now - run.since > most // 1_000:
            self.skip_expired(id_)
            return True
        overdue = self.overdue(run, run.since) if run.attempt == 0 else None
        if overdue == "skip":
            self.skip_expired(id_)
        elif overdue == "cancel":
            self.later.add(id_)
            self.cancel(id_, "user", self.now)
        return overdue in ("skip", "cancel")

    def release_job(self, id_: str) -> None:
        run = self.runs[id_]
        if not self.workflow(run).is_active:
            self.later.add(id_)
            self.change(id_, state="inactive", due=run.since)
        elif self.grants is None or id_ in self.grants:
            self.later.add(id_)
            step_id = self.plan(run).step_id(run.step)
            key = derived("job", self.model.tenant, id_, step_id, str(run.visit))
            self.change(id_, state="running", attempt=run.attempt + 1, job=str(key))
