//! Phase 3: due timers (X6), and phase 4: the release of due steps (X7, X8, X11).

use super::case::Case;
use super::ids;
use super::input::CancelReason;
use super::proposal::Job;
use super::registry::Overdue;
use super::run::Arrival;
use crate::index::State;
use crate::plan::{Act, StepKind};

impl<'c> Case<'c> {
    /// Fires the timers of the contact that were due before the evaluation.
    pub(super) fn fire_timers(&mut self) {
        let watermark = self.context.options.watermark;
        for run in 0..self.runs.len() {
            let due = self.runs[run].before.and_then(|before| before.due);
            // A timer that this evaluation has set fires in another one.
            let is_due = due.is_some_and(|due| due <= watermark) && self.runs[run].now.due == due;
            if let (true, true, Some(due)) = (is_due, self.runs[run].is_live(), due) {
                self.fire(run, due);
            }
        }
    }

    fn fire(&mut self, run: usize, due: i64) {
        let now = self.context.options.now;
        if self.runs[run].now.state == State::Failed {
            self.runs[run].is_in_later_phase = true;
            return self.cancel(run, CancelReason::FailedExpired, None, now);
        }
        if !self.registry().get(self.runs[run].workflow).is_active {
            return;
        }
        self.runs[run].is_in_later_phase = true;
        let overdue = self.overdue(run, due);
        if overdue == Some(Overdue::Cancel) {
            return self.cancel(run, CancelReason::User, None, now);
        }
        let is_expired = overdue == Some(Overdue::Skip);
        let state = self.runs[run].now;
        let plan = &self.registry().plan(state.plan).plan;
        let next = match plan.step(state.step).map(|step| &step.kind) {
            Some(StepKind::WaitFor { next, .. } | StepKind::WaitUntil { next, .. }) => *next,
            Some(StepKind::WaitForEvent { otherwise, .. }) => *otherwise,
            _ => {
                self.runs[run].now.due = None;
                self.runs[run].now.state = State::Queued;
                if is_expired {
                    self.skip_expired(run);
                }
                return;
            }
        };
        self.log_with(run, "wait_ended", now, "time");
        self.finish_step(run);
        let arrival = Arrival {
            at: now,
            due,
            is_expired,
        };
        self.enter(run, next, arrival);
    }

    /// The treatment of steps that were due before the workflow was activated, if this one was.
    fn overdue(&self, run: usize, due: i64) -> Option<Overdue> {
        let workflow = self.registry().get(self.runs[run].workflow);
        let is_overdue = workflow
            .activated_at
            .is_some_and(|activated| due < activated);
        is_overdue.then_some(workflow.overdue)
    }

    /// The action at which a run is, if its step is due.
    fn due_action(&self, run: usize) -> Option<&'c Act> {
        let now = self.runs[run].now;
        if !self.runs[run].is_live() || !now.state.is_due() {
            return None;
        }
        self.registry().plan(now.plan).plan.act(now.step)
    }

    /// Releases at most one job of each run (X1).
    pub(super) fn release(&mut self) {
        for run in 0..self.runs.len() {
            while let Some(act) = self.due_action(run) {
                if !self.skips(run, act) {
                    self.release_job(run, act);
                    break;
                }
            }
        }
    }

    /// Skips a due step that is too late (X7), or ends its run. True if it did.
    fn skips(&mut self, run: usize, act: &Act) -> bool {
        let now = self.context.options.now;
        let execution = self.runs[run].now;
        if !self.registry().get(self.runs[run].workflow).is_active {
            return false;
        }
        let lateness = now.saturating_sub(execution.since);
        if act.max_lateness.is_some_and(|most| lateness > most) {
            self.skip_expired(run);
            return true;
        }
        // The timer of a retry decides whether the retry was overdue.
        let overdue = self.overdue(run, execution.since);
        match overdue.filter(|_| execution.attempt == 0) {
            Some(Overdue::Skip) => self.skip_expired(run),
            Some(Overdue::Cancel) => {
                self.runs[run].is_in_later_phase = true;
                self.cancel(run, CancelReason::User, None, now);
            }
            _ => return false,
        }
        true
    }

    fn skip_expired(&mut self, run: usize) {
        let now = self.context.options.now;
        let execution = self.runs[run].now;
        let plan = &self.registry().plan(execution.plan).plan;
        if let Some(act) = plan.act(execution.step) {
            self.runs[run].is_in_later_phase = true;
            self.log_step(run, "skipped_expired", now);
            self.finish_step(run);
            self.enter(run, act.next, Arrival::at(now));
        }
    }

    fn release_job(&mut self, run: usize, act: &Act) {
        let workflow = self.registry().get(self.runs[run].workflow);
        if !workflow.is_active {
            self.runs[run].is_in_later_phase = true;
            let now = &mut self.runs[run].now;
            now.state = State::Inactive;
            now.due = Some(now.since);
            return;
        }
        if !self.is_granted(run) {
            return;
        }
        let execution = self.id_of(run);
        self.runs[run].is_in_later_phase = true;
        let now = &mut self.runs[run].now;
        now.state = State::Running;
        now.attempt = now.attempt.saturating_add(1);
        let now = self.runs[run].now;
        let plan = &self.registry().plan(now.plan).plan;
        let step = plan.step_id(now.step);
        self.runs[run].job = Some(Job {
            key: ids::job_key(self.tenant, &execution, step, now.visit),
            config: act.config.clone(),
            hops: now.hops.saturating_add(1),
        });
    }

    fn is_granted(&self, run: usize) -> bool {
        let granted = self.context.granted;
        granted.is_none_or(|granted| granted.contains(&(self.tenant, &*self.id_of(run))))
    }
}
