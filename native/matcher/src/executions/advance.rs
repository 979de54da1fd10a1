//! The path of an execution through the steps of its plan.

use super::case::Case;
use super::input::Received;
use super::run::Arrival;
use crate::index::{State, Steps};
use crate::plan::{Plan, StepKind};
use crate::proposal::{CancelReason, End};

impl Case<'_> {
    /// Continues a run at a position of its plan, up to the next action, wait or end.
    pub(super) fn enter(&mut self, run: usize, position: u8, mut arrival: Arrival) {
        let mut position = position;
        loop {
            if self.runs[run].now.migrates {
                position = self.migrate(run, position);
            }
            let published = self.registry().plan(self.runs[run].now.plan);
            let plan = &published.plan;
            let now = &mut self.runs[run].now;
            now.step = position;
            now.visit = 1;
            now.attempt = 0;
            now.retries = 0;
            now.due = None;
            now.zone = crate::plan::UTC;
            now.since_seq = 0;
            let Some(step) = plan.step(position) else {
                return self.complete(run, End::Finished, arrival.at.ms);
            };
            if now.done.contains(position) {
                self.log_step(run, "skipped_already_done", arrival.at.ms);
                position = plan.following(position);
                continue;
            }
            position = match &step.kind {
                StepKind::Act(act) if arrival.is_expired => {
                    self.log_step(run, "skipped_expired", arrival.at.ms);
                    arrival = Arrival::at(arrival.at);
                    self.finish_step(run);
                    act.next
                }
                StepKind::Act(_) => {
                    let now = &mut self.runs[run].now;
                    now.since = arrival.due;
                    now.state = if now.state.has_permit() {
                        State::Ready
                    } else {
                        State::Queued
                    };
                    return;
                }
                StepKind::Branch {
                    then,
                    otherwise,
                    condition,
                } => {
                    let Some(contact) = self.contact_state() else {
                        return;
                    };
                    let verdict = condition.check(contact);
                    let missing = verdict
                        .missing
                        .map(|name| format!(" (no attribute {name})"));
                    let message = format!("{}{}", verdict.holds, missing.unwrap_or_default());
                    let message = format!("condition_evaluated: {message}");
                    self.log_with(run, "condition_evaluated", arrival.at.ms, &message);
                    self.finish_step(run);
                    if verdict.holds { *then } else { *otherwise }
                }
                StepKind::WaitFor { .. }
                | StepKind::WaitUntil { .. }
                | StepKind::WaitForEvent { .. } => return self.start_wait(run, arrival.at),
                StepKind::Exit => {
                    self.finish_step(run);
                    return self.complete(run, End::Finished, arrival.at.ms);
                }
            };
        }
    }

    /// Begins the wait at which a run is.
    fn start_wait(&mut self, run: usize, at: Received) {
        let plan = &self.registry().plan(self.runs[run].now.plan).plan;
        let Some(zone) = self.zone_of_wait(plan, self.runs[run].now.step) else {
            return;
        };
        let now = &mut self.runs[run].now;
        now.since = at.ms;
        now.zone = zone;
        let (state, due) = self.end_of_wait(plan, run);
        let now = &mut self.runs[run].now;
        now.state = state;
        now.due = due;
        if state == State::Listening {
            now.since_seq = at.seq;
        }
        self.log_step(run, "wait_started", at.ms);
    }

    /// The zone of a wait for a wall time; UTC for other waits. `None` if the contact's is needed
    /// and not known.
    pub(super) fn zone_of_wait(&mut self, plan: &Plan, position: u8) -> Option<u16> {
        let kind = plan.step(position).map(|step| &step.kind);
        let Some(StepKind::WaitUntil { timezone, .. }) = kind else {
            return Some(crate::plan::UTC);
        };
        let zones = &self.registry().zones;
        if let Some(known) = timezone.as_deref().and_then(|name| zones.number(name)) {
            return Some(known);
        }
        let contact = self.contact_state()?;
        Some(zones.first_known([contact.timezone.as_deref(), plan.timezone.as_deref()]))
    }

    /// The state and the end of the wait at which a run is, from its begin and its zone.
    pub(super) fn end_of_wait(&self, plan: &Plan, run: usize) -> (State, Option<i64>) {
        let now = &self.runs[run].now;
        match plan.step(now.step).map(|step| &step.kind) {
            Some(StepKind::WaitForEvent { timeout, .. }) => (
                State::Listening,
                timeout.map(|timeout| now.since.saturating_add(timeout)),
            ),
            _ => (
                State::Sleeping,
                plan.end_of_wait(now.step, now.since, now.zone, &self.registry().zones),
            ),
        }
    }

    /// The step of a run is done.
    pub(super) fn finish_step(&mut self, run: usize) {
        let run = &mut self.runs[run];
        let plan = &self.context.registry.plan(run.now.plan).plan;
        run.now.done.insert(run.now.step);
        run.done.push(plan.step_id(run.now.step).into());
    }

    /// Moves a run to the current version of its workflow (X10). Returns the position there.
    pub(super) fn migrate(&mut self, run: usize, position: u8) -> u8 {
        let registry = self.registry();
        let run = &mut self.runs[run];
        run.now.migrates = false;
        let Some(current) = registry.get(run.workflow).current else {
            return position;
        };
        let (old, new) = (
            &registry.plan(run.now.plan).plan,
            &registry.plan(current).plan,
        );
        let mut ids = std::mem::take(&mut run.other_done);
        ids.extend(run.now.done.iter().map(|at| old.step_id(at).into()));
        run.now.done = Steps::default();
        for id in ids {
            match new.position(&id) {
                Some(at) => run.now.done.insert(at),
                None => run.other_done.push(id),
            }
        }
        run.now.plan = current;
        old.position_in(position, new)
    }

    /// Ends a run because its steps are done or its goals are met.
    pub(super) fn complete(&mut self, run: usize, end: End, at: i64) {
        self.runs[run].end = Some((end, at));
        if end == End::GoalAchieved {
            self.log_step(run, "goal_achieved", at);
        }
        self.log_with(run, "execution_completed", at, end.reason());
    }

    pub(super) fn cancel(&mut self, run: usize, reason: CancelReason, user: Option<&str>, at: i64) {
        self.runs[run].end = Some((End::Cancelled(reason), at));
        let row = self.log_with(run, "execution_cancelled", at, reason.name());
        row.user = user.map(Into::into);
    }
}
