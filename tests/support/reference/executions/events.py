"""Phase 1: events and requests (X1)."""

from collections.abc import Mapping
from typing import Any

from tests.support.reference.executions.plans import ACTION, END, WAIT_FOR_EVENT, WAITS
from tests.support.reference.executions.runs import Run, Workflow
from tests.support.reference.executions.turn import Input, Turn, derived, event_key


class EventTurn(Turn):
    def apply_event(self, given: Input) -> None:
        at, id_ = given["at"], given.get("execution", "")
        run = self.live(id_)
        match given["kind"]:
            case "event":
                self.happen(given)
            case "trigger":
                id_ = self.derived_id("request", given["workflow"], given["key"])
                self.answer(given, self.start(given["workflow"], id_, (at, given["seq"]), 0))
            case "cancel":
                if run is not None:
                    self.cancel(id_, given["reason"], at)
                self.answer(given, "not_found" if run is None else "accepted")
            case "retry":
                self.answer(given, self.retry(id_, at))
            case "migrate":
                if run is not None:
                    self.request_migration(id_)
                self.answer(given, "not_found" if run is None else "accepted")
            case "resume" if run is not None and run.state == "on_hold":
                self.change(id_, state="queued")

    def answer(self, given: Input, answer: str) -> None:
        self.result.answers.append((given["request"], answer))

    def derived_id(self, kind: str, workflow: str, *trigger: str) -> str:
        parts = ("execution", kind, self.model.tenant, workflow, self.contact, *trigger)
        return str(derived(*parts))

    def happen(self, given: Input) -> None:
        event, at = given["event"], given["at"]
        if given["described"] is not None:
            self.described = given["described"]
        match event["type"]:
            case "contact.deleted":
                return self.cancel_all("contact_deleted", at, event["time_ms"])
            case "workflow.enrollment.ended":
                return self.end_enrollment(event["data"]["enrollment_id"], at)
            case "payment.completed":
                self.meet_goals(event, at)
            case "contact.updated" if self.described.opted_in is False:
                self.cancel_all("contact_opted_out", at)
        for id_ in self.ordered():
            if self.runs[id_].state == "listening":
                self.end_listening(id_, given)
        self.start_by_event(given)
        self.seen.append((given, self.described))
        return None

    def end_enrollment(self, id_: str, at: int) -> None:
        if self.live(id_) is not None:
            self.result.ended_by_event.add(id_)
            self.cancel(id_, "user", at)

    def meet_goals(self, event: Mapping[str, Any], at: int) -> None:
        """The goal of a workflow is the purchase of the product with its name (E1 to E4, E11)."""
        key = event_key(event)
        name = event["data"]["product_id"]
        counted = key in self.used.get(name, ())
        for id_ in self.ordered():
            run = self.runs[id_]
            is_met = (
                run.workflow == name
                and self.workflow(run).is_active
                and event["time_ms"] >= run.started_at
                and not counted
            )
            if is_met:
                self.used.setdefault(name, set()).add(key)
                self.result.used.add((name, key, id_))
                self.complete(id_, "goal_achieved", at)

    def start_by_event(self, given: Input) -> None:
        event, at = given["event"], given["at"]
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
            self.start(name, id_, (at, given["seq"]), given["hops"])

    def end_listening(self, id_: str, given: Input) -> bool:
        event, received = given["event"], (given["at"], given["seq"])
        run = self.runs[id_]
        step = self.plan(run).steps[run.step]
        key = event_key(event)
        started_by = self.derived_id("event", run.workflow, event["source"], event["id"])
        if (
            received <= (run.since, run.since_seq)
            or event["time_ms"] < run.started_at
            or not self.plan(run).selects(step[5], event, self.described)
            or key in run.used
            or started_by == id_
        ):
            return False
        self.change(id_, used=run.used | {key})
        self.log(id_, "wait_ended", given["at"])
        self.finish_step(id_)
        self.enter(id_, step[3], received, given["at"])
        return True

    def start(self, name: str, id_: str, received: tuple[int, int], hops: int) -> str:
        at = received[0]
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
        self.begun[id_] = received
        self.log(id_, "execution_started", at)
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
            seq = run.since_seq if state == "listening" else 0
            self.change(id_, state=state, zone=zone, due=due, since_seq=seq)
        elif run.state in ("queued", "ready", "inactive") and code not in (ACTION, END):
            pass  # It enters the step when it is released.
        elif not (stays and code == ACTION and not waits):
            self.enter(id_, position, self.watermark, self.now)
