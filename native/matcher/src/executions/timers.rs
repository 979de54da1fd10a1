//! Phase 3: due timers (X6), and phase 4: the release of due steps (X7, X8, X11).

use super::case::Case;
use super::ids;
use super::input::Received;
use super::registry::Overdue;
use super::run::Arrival;
use crate::index::State;
use crate::plan::{Act, StepKind};
use crate::proposal::{CancelReason, Job};

impl<'c> Case<'c> {
    /// All entries that Redis received before this have been evaluated, or are part of this
    /// evaluation. Waits that no entry begins begin then, so that they miss no event.
    pub(super) fn watermark(&self) -> Received {
        Received {
            ms: self.context.options.watermark,
            seq: 0,
        }
    }

    /// Fires the timers of the contact that were due before the evaluation.
    pub(super) fn fire_timers(&mut self) {
        let watermark = self.context.options.watermark;
        for run in 0..self.runs.len() {
            let due = self.runs[run].before.and_then(|before| before.due);
            // A timer that this evaluation has set fires in another one.
            let is_due = due.is_some_and(|due| due <= watermark) && self.runs[run].now.due == due;
            let may_fire = self.runs[run].is_live() && !self.runs[run].is_held;
            if let (true, true, Some(due)) = (is_due, may_fire, due) {
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
        let waits = matches!(state.state, State::Sleeping | State::Listening);
        let step = plan.step(state.step).filter(|_| waits);
        let next = match step.map(|step| &step.kind) {
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
            at: self.watermark(),
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

    /// Releases at most one job of each run (X1).
    pub(super) fn release(&mut self) {
        for run in 0..self.runs.len() {
            let is_held = self.runs[run].is_held;
            while !is_held && self.runs[run].is_live() && self.runs[run].now.state.is_due() {
                let now = self.runs[run].now;
                let is_released = match self.registry().plan(now.plan).plan.act(now.step) {
                    Some(act) => self.skips(run, act) || self.release_job(run, act),
                    None => self.begin_steps(run),
                };
                if !is_released {
                    break;
                }
            }
        }
    }

    /// Enters the first step of a run, if it is no action (§4). False if the run must wait.
    fn begin_steps(&mut self, run: usize) -> bool {
        let now = self.runs[run].now;
        if !self.may_start(run) {
            return false;
        }
        self.runs[run].is_in_later_phase = true;
        if self.overdue(run, now.since) == Some(Overdue::Cancel) {
            self.cancel(run, CancelReason::User, None, self.context.options.now);
            return true;
        }
        self.runs[run].now.state = State::Ready;
        let arrival = Arrival {
            at: self.runs[run].begun.unwrap_or(self.watermark()),
            due: now.since,
            is_expired: false,
        };
        self.enter(run, now.step, arrival);
        // Otherwise the contact is missing: the evaluation is repeated with it.
        let now = self.runs[run].now;
        !now.state.is_due() || self.registry().plan(now.plan).plan.act(now.step).is_some()
    }

    /// Whether a run may start its due step: it is granted, and its workflow is active. Holds it if
    /// the workflow is inactive (X11).
    fn may_start(&mut self, run: usize) -> bool {
        let workflow = self.registry().get(self.runs[run].workflow);
        if !workflow.is_active {
            self.runs[run].is_in_later_phase = true;
            let now = &mut self.runs[run].now;
            now.state = State::Inactive;
            now.due = Some(now.since);
            return false;
        }
        let execution = self.id_of(run);
        let granted = self.context.granted;
        granted.is_none_or(|granted| granted.contains(&(&*self.tenant, &*execution)))
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
            self.enter(run, act.next, Arrival::at(self.watermark()));
        }
    }

    /// Publishes the job of a due action. False if the run must wait.
    fn release_job(&mut self, run: usize, act: &Act) -> bool {
        if !self.may_start(run) {
            return false;
        }
        self.runs[run].is_in_later_phase = true;
        if self.runs[run].now.attempt == u16::MAX {
            self.exhaust(run);
            return false;
        }
        let execution = self.id_of(run);
        let now = &mut self.runs[run].now;
        now.state = State::Running;
        now.attempt += 1;
        let now = self.runs[run].now;
        let plan = &self.registry().plan(now.plan).plan;
        let step = plan.step_id(now.step);
        self.runs[run].job = Some(Job {
            key: ids::job_key(&self.tenant, &execution, step, now.visit),
            config: act.config.clone(),
            hops: now.hops.saturating_add(1),
        });
        true
    }
}
