//! Phase 2: the results of actions (X3 to X5), and the gates of outstanding jobs after a load (X2).

use super::case::Case;
use super::input::{ActionResult, AttemptKey, Gate, GateAnswer, InputKind, Outcome, Received};
use super::run::Arrival;
use crate::index::State;
use crate::plan::{Act, OnUnknown, StepKind};
use crate::proposal::{Delay, EntryRef, Notification};

/// The greatest delay of a retry: 30 days of milliseconds.
const MAX_DELAY: i64 = 30 * 86_400_000;
/// The least delay of a rate limit: without one, a provider that always asks for none would be
/// called again without a pause.
const MIN_DELAY: i64 = 1_000;
/// How long actions wait after refused credentials, which their owner may correct: five minutes of
/// milliseconds, doubled by each attempt of the step up to four hours.
const FIRST_HOLD: i64 = 5 * 60_000;
const MAX_HOLD: i64 = 4 * 3_600_000;

impl<'c> Case<'c> {
    /// Evaluates the results and the gates of the contact, its timers, and its due steps. An event
    /// that Redis received after a result, but that precedes it in this evaluation (X1), may end the
    /// wait that begins with the result.
    pub(crate) fn apply_later_phases(&mut self) {
        for (entry, report) in std::mem::take(&mut self.reports) {
            self.apply_result(&report.result(), Received::of(entry));
        }
        for input in self.context.options.inputs {
            if let InputKind::Gate(answer) = &input.kind {
                if *input.contact == *self.contact && *input.tenant == *self.tenant {
                    self.apply_gate(answer, self.watermark());
                }
            }
        }
        self.replay();
        self.fire_timers();
        self.release();
        while self.replay() {
            self.release();
        }
    }

    /// The entries of results that must be evaluated after this proposal is committed, because its
    /// first phase is not complete; and of later events, which may end waits that the results begin.
    pub(crate) fn postponed(&self) -> Vec<EntryRef<'c>> {
        let Some(first) = self
            .reports
            .iter()
            .map(|(entry, _)| Received::of(*entry))
            .min()
        else {
            return Vec::new();
        };
        let events = self.observed.iter().filter(|event| event.at > first);
        let results = self.reports.iter().map(|(entry, _)| *entry);
        let mut entries: Vec<_> = results.chain(events.map(|event| event.entry)).collect();
        entries.sort_by_key(|entry| (entry.buffer, Received::of(*entry)));
        entries
    }

    /// The run whose outstanding job is this attempt, and its action.
    fn outstanding(&self, key: AttemptKey<'_>) -> Option<(usize, &'c Act)> {
        let run = self.find(key.execution)?;
        if self.runs[run].is_held {
            return None;
        }
        let now = self.runs[run].now;
        let step = self.registry().plan(now.plan).plan.step(now.step)?;
        let is_same = now.state == State::Running
            && *step.id == *key.step
            && (now.visit, now.attempt) == (key.visit, key.attempt);
        match &step.kind {
            StepKind::Act(act) if is_same => Some((run, act)),
            _ => None,
        }
    }

    pub(super) fn apply_result(&mut self, result: &ActionResult<'_>, at: Received) {
        let Some((run, act)) = self.outstanding(result.key) else {
            let row = self.log_other("late_result", at.ms, None, Some(result.key.execution));
            row.step = Some((0, result.key.step.into()));
            row.attempt = result.key.attempt;
            return;
        };
        self.runs[run].is_in_later_phase = true;
        self.runs[run].has_result = true;
        let is_refused = matches!(result.outcome, Outcome::Refused | Outcome::RefusedInactive);
        if !is_refused {
            let started = at.ms.saturating_sub(result.duration);
            self.log_step(run, "action_started", started);
        }
        match result.outcome {
            Outcome::Success => {
                let row = self.log_step(run, "action_completed", at.ms);
                row.duration = Some(result.duration);
                self.finish_step(run);
                self.enter(run, act.next, Arrival::at(at));
            }
            Outcome::Retry => self.retry(run, act, result, at),
            Outcome::Skip => {
                self.log_failure(run, result, at);
                if act.errors.fails_when_rejected {
                    return self.fail(run, result, at);
                }
                self.skip(run, act, "skipped_non_retryable_error", result, at);
            }
            Outcome::Pause => {
                self.log_failure(run, result, at);
                let attempts = u32::from(self.runs[run].now.attempt).clamp(1, 16);
                let until = at.ms + (FIRST_HOLD << (attempts - 1)).min(MAX_HOLD);
                self.hold(run, State::OnHold, Some(until));
                self.delay(act, Some(until));
                self.notify(run, "connection_paused", result.error);
            }
            Outcome::RateLimit { delay } => {
                let until = at.ms + delay.clamp(MIN_DELAY, MAX_DELAY);
                let message = delay.to_string();
                self.log_with(run, "rate_limit_hit", at.ms, &message);
                self.hold(run, State::RateLimited, Some(until));
                self.delay(act, Some(until));
            }
            Outcome::Unknown { is_keyed } => self.apply_unknown(run, act, is_keyed, result, at),
            Outcome::Refused => self.hold(run, State::Ready, None),
            Outcome::RefusedInactive => {
                let since = self.runs[run].now.since;
                self.hold(run, State::Inactive, Some(since));
            }
        }
    }

    /// The step waits for its next attempt, which is not counted as a retry.
    fn hold(&mut self, run: usize, state: State, due: Option<i64>) {
        let now = &mut self.runs[run].now;
        now.state = state;
        now.due = due;
    }

    /// An unknown outcome (X4). A provider that honours the key is called again, within the limit of
    /// retries, because the job may be what ends its workers.
    fn apply_unknown(
        &mut self,
        run: usize,
        act: &Act,
        is_keyed: bool,
        result: &ActionResult<'_>,
        at: Received,
    ) {
        self.log_failure(run, result, at);
        if is_keyed || act.errors.on_unknown == OnUnknown::Retry {
            self.log_with(run, "outcome_unknown", at.ms, "retry");
            return self.schedule_retry(run, act, result, at);
        }
        if act.errors.on_unknown == OnUnknown::Fail {
            self.log_with(run, "outcome_unknown", at.ms, "fail");
            return self.fail(run, result, at);
        }
        self.skip(run, act, "outcome_unknown", result, at);
    }

    fn retry(&mut self, run: usize, act: &Act, result: &ActionResult<'_>, at: Received) {
        self.log_failure(run, result, at);
        self.schedule_retry(run, act, result, at);
    }

    /// Schedules the next retry, or fails if there were too many (X5).
    fn schedule_retry(&mut self, run: usize, act: &Act, result: &ActionResult<'_>, at: Received) {
        let settings = self.registry().settings(&self.tenant);
        let retries = self.runs[run].now.retries;
        if retries < act.errors.max_retries.unwrap_or(settings.max_retries) {
            let base = act.errors.base_delay.unwrap_or(settings.retry_base);
            let delay = base.saturating_mul(1 << retries.min(31)).min(MAX_DELAY);
            let now = &mut self.runs[run].now;
            now.retries += 1;
            self.log_with(run, "retry_scheduled", at.ms, &delay.to_string());
            return self.hold(run, State::BackingOff, Some(at.ms + delay));
        }
        self.log_step(run, "max_retries_exhausted", at.ms);
        if act.errors.fails_when_exhausted {
            return self.fail(run, result, at);
        }
        self.finish_step(run);
        self.enter(run, act.next, Arrival::at(at));
    }

    fn log_failure(&mut self, run: usize, result: &ActionResult<'_>, at: Received) {
        let row = self.log_step(run, "action_failed", at.ms);
        row.duration = Some(result.duration);
        row.message = result.error.map(Into::into);
    }

    fn skip(
        &mut self,
        run: usize,
        act: &Act,
        event: &'static str,
        result: &ActionResult<'_>,
        at: Received,
    ) {
        self.log_step(run, event, at.ms).message = result.error.map(Into::into);
        self.finish_step(run);
        self.enter(run, act.next, Arrival::at(at));
    }

    fn fail(&mut self, run: usize, result: &ActionResult<'_>, at: Received) {
        self.fail_with(run, result.error, at.ms);
    }

    fn fail_with(&mut self, run: usize, error: Option<&str>, at: i64) {
        let until = at + self.context.options.rules.keep_failed;
        self.hold(run, State::Failed, Some(until));
        if self.registry().settings(&self.tenant).notifies {
            self.notify(run, "failed", error);
        }
    }

    /// Fails a run whose step has no further attempt: results of two attempts with the same number
    /// could not be distinguished.
    #[cold]
    pub(super) fn exhaust(&mut self, run: usize) {
        let now = self.context.options.now;
        self.log_step(run, "max_retries_exhausted", now);
        self.fail_with(run, Some("the step has had 65,535 attempts"), now);
    }

    /// Fails a run because the commit of a later phase of it was refused.
    #[cold]
    pub(super) fn fail_refused(&mut self, run: usize, error: &str, at: i64) {
        if self.runs[run].now.state != State::Failed {
            self.log_with(run, "action_failed", at, error);
            self.fail_with(run, Some(error), at);
        }
    }

    /// The number of the run becomes that of its transition when the contact is finished.
    fn notify(&mut self, run: usize, kind: &'static str, error: Option<&str>) {
        self.notifications.push(Notification {
            transition: run,
            kind,
            error: error.map(Into::into),
        });
    }

    fn delay(&mut self, act: &Act, until: Option<i64>) {
        self.delays.push(Delay {
            tenant: self.tenant.clone(),
            action: act.action.clone(),
            connection: act.connection.clone(),
            until,
        });
    }

    pub(super) fn apply_gate(&mut self, answer: &GateAnswer<'_>, at: Received) {
        let Some((run, act)) = self.outstanding(answer.key) else {
            return;
        };
        if answer.gate == Gate::Open {
            return;
        }
        self.runs[run].is_in_later_phase = true;
        match answer.gate {
            Gate::Open => {}
            Gate::Closed => {
                self.log_step(run, "execution_recovered", at.ms);
                self.runs[run].has_result = true;
                self.hold(run, State::Ready, None);
            }
            Gate::Lost { is_keyed } => {
                self.log_step(run, "execution_recovered", at.ms);
                self.runs[run].has_result = true;
                let result = ActionResult {
                    key: answer.key,
                    outcome: Outcome::Unknown { is_keyed },
                    error: None,
                    duration: 0,
                };
                self.apply_unknown(run, act, is_keyed, &result, at);
            }
        }
    }
}
