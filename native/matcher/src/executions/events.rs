//! Phase 1: everything but results, in the order of the stream.

use uuid::Uuid;

use super::case::Case;
use super::input::{CancelReason, Happened, Input, InputKind};
use super::proposal::{Answer, End};
use super::run::Arrival;
use crate::event::Fact;
use crate::ids::derived::event_key;
use crate::index::State;
use crate::plan::StepKind;

impl<'c> Case<'c> {
    pub(super) fn apply_event(&mut self, number: usize, input: &'c Input<'c>) {
        let at = input.at;
        match &input.kind {
            InputKind::Event(happened) => self.happen(happened, at),
            InputKind::Trigger(trigger) => {
                let answer = self.request(*trigger, at);
                self.out
                    .answers
                    .extend(answer.map(|answer| (number, answer)));
            }
            InputKind::GoalAchieved { execution } => {
                if let Some(run) = self.find(execution) {
                    self.complete(run, End::GoalAchieved, at);
                }
            }
            InputKind::Cancel {
                execution,
                reason,
                user,
            } => {
                let found = self.find(execution);
                if let Some(run) = found {
                    self.cancel(run, *reason, *user, at);
                }
                let answer = found.map_or(Answer::NotFound, |_| Answer::Accepted);
                self.out.answers.push((number, answer));
            }
            InputKind::Retry { execution, user } => {
                let answer = self.retry_manually(execution, *user, at);
                self.out
                    .answers
                    .extend(answer.map(|answer| (number, answer)));
            }
            InputKind::Migrate { execution } => {
                let found = self.find(execution);
                if let Some(run) = found {
                    self.request_migration(run);
                }
                let answer = found.map_or(Answer::NotFound, |_| Answer::Accepted);
                self.out.answers.push((number, answer));
            }
            InputKind::Resume { execution } => {
                if let Some(run) = self.find(execution) {
                    let now = &mut self.runs[run].now;
                    if now.state == State::OnHold {
                        now.state = State::Queued;
                    }
                }
            }
            InputKind::Result(_) | InputKind::Gate(_) => {}
        }
    }

    /// An event ends executions or waits, then starts executions. An event that describes the
    /// contact is seen by all that follows.
    fn happen(&mut self, happened: &'c Happened<'c>, at: i64) {
        let event = &happened.event;
        if let Some(contact) = &happened.contact {
            self.described = Some(contact);
            if contact.opted_in == Some(false) {
                self.cancel_all(CancelReason::ContactOptedOut, at, None);
            }
        }
        if event.fact == Fact::ContactDeleted {
            let until = event.time_us.div_euclid(1_000);
            self.cancel_all(CancelReason::ContactDeleted, at, Some(until));
            return;
        }
        let existing = self.runs.len();
        for run in 0..existing {
            if self.runs[run].now.state == State::Listening && self.runs[run].is_live() {
                self.end_listening(run, happened, at);
            }
        }
        self.start_by_event(happened, at);
    }

    /// Ends the wait of a run if the event matches its pattern.
    fn end_listening(&mut self, run: usize, happened: &'c Happened<'c>, at: i64) {
        let (event, now) = (&happened.event, self.runs[run].now);
        let plan = &self.registry().plan(now.plan).plan;
        let Some(StepKind::WaitForEvent { then, pattern, .. }) =
            plan.step(now.step).map(|step| &step.kind)
        else {
            return;
        };
        let time = event.time_us.div_euclid(1_000) + self.context.options.rules.clock_skew;
        // Received after the wait began, and not from before the execution (E3).
        if at <= now.since
            || time < self.runs[run].started_at
            || !pattern.selects(&event.fact, &happened.changed)
        {
            return;
        }
        if pattern.needs_contact() {
            match self.contact_state() {
                Some(contact) if pattern.holds(contact) => {}
                _ => return,
            }
        }
        let key: Uuid = event_key(&event.source, &event.id);
        if self.is_started_by(run, &event.source, &event.id) || self.is_used(run, key) {
            return;
        }
        self.runs[run].used_events.push(key);
        self.runs[run].now.used_event = true;
        self.log_with(run, "wait_ended", at, "event");
        self.finish_step(run);
        self.enter(run, *then, Arrival::at(at));
    }

    /// Begins a new visit of the failed step.
    fn retry_manually(&mut self, execution: &str, user: Option<&str>, at: i64) -> Option<Answer> {
        let Some(run) = self.find(execution) else {
            return Some(Answer::NotFound);
        };
        if self.runs[run].now.state != State::Failed {
            return Some(Answer::NotFailed);
        }
        if !self.allows_contact()? {
            return Some(Answer::OptedOut);
        }
        if !self.registry().get(self.runs[run].workflow).is_active {
            return Some(Answer::InactiveWorkflow);
        }
        let now = &mut self.runs[run].now;
        now.state = State::Queued;
        now.visit += 1;
        now.attempt = 0;
        now.retries = 0;
        now.since = at;
        now.due = None;
        self.log_step(run, "manual_retry", at).user = user.map(Into::into);
        Some(Answer::Accepted)
    }

    /// Whether the consent of the contact allows an execution (X12). `None` if it must be read.
    pub(super) fn allows_contact(&mut self) -> Option<bool> {
        let requires = self.context.options.rules.requires_opt_in;
        let opted_in = self.contact_state()?.opted_in;
        Some(opted_in.unwrap_or(!requires))
    }

    /// Moves a run to the current version of its workflow, or lets it finish its job and its
    /// retries first. Waits are computed again from when they began (X10).
    fn request_migration(&mut self, run: usize) {
        let registry = self.registry();
        let now = self.runs[run].now;
        let current = registry.get(self.runs[run].workflow).current;
        if now.state == State::Failed || current.is_none_or(|current| current == now.plan) {
            return;
        }
        let is_attempted = now.attempt > 0;
        self.runs[run].now.migrates = true;
        if is_attempted {
            return;
        }
        let old_step = registry.plan(now.plan).plan.step_id(now.step);
        let position = self.migrate(run, now.step);
        let plan = &registry.plan(self.runs[run].now.plan).plan;
        let stays = position < plan.end() && plan.step_id(position) == old_step;
        let is_wait = plan.step(position).is_some_and(|step| step.kind.is_wait());
        self.runs[run].now.step = position;
        match now.state {
            State::Sleeping | State::Listening if stays && is_wait => {
                let Some(zone) = self.zone_of_wait(plan, position) else {
                    return;
                };
                self.runs[run].now.zone = zone;
                let (state, due) = self.end_of_wait(plan, run);
                self.runs[run].now.state = state;
                self.runs[run].now.due = due;
            }
            // The same action is due since the same time.
            _ if stays && !is_wait && plan.act(position).is_some() => {
                if matches!(now.state, State::Sleeping | State::Listening) {
                    let at = self.context.options.now;
                    self.enter(run, position, Arrival::at(at));
                }
            }
            _ => {
                let at = self.context.options.now;
                self.enter(run, position, Arrival::at(at));
            }
        }
    }
}
