"""Phases 2 to 4: results, timers, and jobs (X1)."""

from collections.abc import Sequence
from typing import Any

from tests.support.reference.executions.events import EventTurn
from tests.support.reference.executions.plans import ACTION, WAIT_FOR_EVENT
from tests.support.reference.executions.runs import Run
from tests.support.reference.executions.turn import Input, derived

MAX_DELAY = 30 * 86_400_000


class WholeTurn(EventTurn):
    def evaluate(self, inputs: Sequence[Input], only_events: bool) -> None:
        for each in inputs:
            self.apply_event(each)
        if not only_events:
            self.evaluate_later_phases(inputs)
        self.finish()

    def evaluate_later_phases(self, inputs: Sequence[Input]) -> None:
        for each in inputs:
            if each["kind"] == "result":
                self.apply_result(each)
        for each in inputs:
            if each["kind"] == "gate":
                self.apply_gate(each)
        self.replay()
        self.fire_timers()
        self.release()
        while self.replay():
            self.release()

    def replay(self) -> bool:
        """Apply the events again to waits that began before them, but after the first phase."""
        described, has_ended = self.described, False
        for given, after in self.seen:
            self.described = after
            for id_ in self.ordered():
                if self.runs[id_] != self.before.get(id_) and self.runs[id_].state == "listening":
                    has_ended |= self.end_listening(id_, given)
        self.described = described
        return has_ended

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
        received = (at, given["seq"])
        step = self.plan(run).steps[run.step]
        policy = step[7]
        if not outcome.startswith("refused"):
            self.log(id_, "action_started", at - given["duration"])
        if outcome in ("retry", "skip", "pause", "unknown"):
            self.log(id_, "action_failed", at)
        match outcome:
            case "success":
                self.log(id_, "action_completed", at)
                self.pass_step(id_, step, received)
            case "retry":
                self.schedule_retry(id_, step, received)
            case "skip" if policy[3] == "fail":
                self.fail(id_, at)
            case "skip":
                self.log(id_, "skipped_non_retryable_error", at)
                self.pass_step(id_, step, received)
            case "pause":
                until = at + min(300_000 * 2 ** (given["attempt"] - 1), 14_400_000)
                self.change(id_, state="on_hold", due=until)
                self.result.delays.append((step[4], until))
                self.result.notifications.append((id_, "connection_paused"))
            case "rate_limit":
                until = at + min(max(given["delay"], 1_000), MAX_DELAY)
                self.log(id_, "rate_limit_hit", at)
                self.change(id_, state="rate_limited", due=until)
                self.result.delays.append((step[4], until))
            case "unknown":
                self.apply_unknown(id_, step, given["is_keyed"], received)
            case "refused":
                self.change(id_, state="ready", due=None)
            case "refused_inactive":
                self.change(id_, state="inactive", due=run.since)

    def pass_step(self, id_: str, step: list[Any], received: tuple[int, int]) -> None:
        self.finish_step(id_)
        self.enter(id_, step[3], received, received[0])

    def apply_unknown(
        self, id_: str, step: list[Any], is_keyed: bool, received: tuple[int, int]
    ) -> None:
        self.log(id_, "outcome_unknown", received[0])
        policy = step[7][4]
        if is_keyed or policy == "retry":
            self.schedule_retry(id_, step, received)
        elif policy == "fail":
            self.fail(id_, received[0])
        else:
            self.pass_step(id_, step, received)

    def schedule_retry(self, id_: str, step: list[Any], received: tuple[int, int]) -> None:
        at = received[0]
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
            self.pass_step(id_, step, received)

    def fail(self, id_: str, at: int) -> None:
        self.change(id_, state="failed", due=at + self.model.keep_failed_ms)
        self.result.notifications.append((id_, "failed"))

    def apply_gate(self, given: Input) -> None:
        run = self.outstanding(given)
        if run is None or given["gate"] == "open":
            return
        at, id_ = self.now, run.id
        self.later.add(id_)
        self.answered.add(id_)
        self.log(id_, "execution_recovered", at)
        if given["gate"] == "closed":
            self.change(id_, state="ready", due=None)
            return
        self.log(id_, "action_failed", at)
        self.apply_unknown(id_, self.plan(run).steps[run.step], given["is_keyed"], self.watermark)

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
        if run.state not in ("sleeping", "listening"):
            self.change(id_, state="queued", due=None)
            if overdue == "skip":
                self.skip_expired(id_)
            return None
        self.log(id_, "wait_ended", self.now)
        self.finish_step(id_)
        next_ = step[4] if step[0] == WAIT_FOR_EVENT else step[3]
        return self.enter(id_, next_, self.watermark, due, overdue == "skip")

    def skip_expired(self, id_: str) -> None:
        run = self.runs[id_]
        step = self.plan(run).steps[run.step]
        if step[0] != ACTION:
            return
        self.later.add(id_)
        self.log(id_, "skipped_expired", self.now)
        self.pass_step(id_, step, self.watermark)

    # Phase 4: jobs.

    def release(self) -> None:
        for id_ in self.ordered():
            while self.runs[id_].ended is None and self.runs[id_].state in ("queued", "ready"):
                run = self.runs[id_]
                if self.plan(run).code(run.step) != ACTION:
                    is_released = self.begin_steps(id_)
                else:
                    is_released = self.is_skipped(id_) or self.release_job(id_)
                if not is_released:
                    break

    def may_start(self, id_: str) -> bool:
        if not self.workflow(self.runs[id_]).is_active:
            self.later.add(id_)
            self.change(id_, state="inactive", due=self.runs[id_].since)
            return False
        return self.grants is None or id_ in self.grants

    def begin_steps(self, id_: str) -> bool:
        """Enter the first step, which is no action (§4)."""
        if not self.may_start(id_):
            return False
        self.later.add(id_)
        since = self.runs[id_].since
        if self.overdue(self.runs[id_], since) == "cancel":
            self.cancel(id_, "user", self.now)
            return True
        run = self.change(id_, state="ready")
        self.enter(id_, run.step, self.begun.get(id_, self.watermark), since)
        return True

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

    def release_job(self, id_: str) -> bool:
        if not self.may_start(id_):
            return False
        self.later.add(id_)
        run = self.runs[id_]
        step_id = self.plan(run).step_id(run.step)
        key = derived("job", self.model.tenant, id_, step_id, str(run.visit))
        self.change(id_, state="running", attempt=run.attempt + 1, job=str(key))
        return True
