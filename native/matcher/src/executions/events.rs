//! Phase 1: everything but results, in the order of the stream.

use uuid::Uuid;

use super::case::Case;
use super::input::{Input, InputKind, Observed, Received};
use super::messages::{Message, is_message};
use super::run::Arrival;
use crate::config::GoalType;
use crate::decode::Members;
use crate::event::{Event, Fact, Text};
use crate::ids::derived::event_key;
use crate::index::State;
use crate::plan::StepKind;
use crate::proposal::{Answer, CancelReason, EntryRef, Request, RequestSource};

/// The source of the changes that actions make.
const ACTIONS: &str = "goald/actions";

impl<'c> Case<'c> {
    /// Applies the next event of the contact. Returns whether it is one for executions only. Fails
    /// if such an event is not valid. `original`: its contact before it was passed on.
    pub(crate) fn apply_event(
        &mut self,
        entry: EntryRef<'c>,
        event: &Event<'c>,
        original: &str,
    ) -> Result<bool, String> {
        let at = Received::of(entry);
        match &event.fact {
            Fact::Other if is_message(event) => {
                let message = Message::read(event)?;
                self.apply_message(entry, event, message, original);
                return Ok(true);
            }
            Fact::ContactUpdated => {
                let data = Members::of(event.data);
                let is_live = self.runs.iter().any(|run| run.is_live());
                if data.has("opted_in") && is_live {
                    let contact = self.contact_state();
                    if contact.is_some_and(|contact| contact.opted_in == Some(false)) {
                        self.cancel_all(CancelReason::ContactOptedOut, at.ms);
                    }
                }
                self.observe(entry, event, original, data.names_of("attributes").to_vec());
            }
            fact if GoalType::of(fact).is_some() => {
                self.observe(entry, event, original, Vec::new());
            }
            _ => {}
        }
        Ok(false)
    }

    fn apply_message(
        &mut self,
        entry: EntryRef<'c>,
        event: &Event<'c>,
        message: Message,
        original: &str,
    ) {
        let at = Received::of(entry);
        let answer = match message {
            Message::Result(report) => {
                self.reports.push((entry, report));
                return;
            }
            Message::Start(request) => self.request(request, original, at),
            Message::Retry { execution, user } => {
                self.retry_manually(&execution, user.as_deref(), at.ms)
            }
            Message::Cancel { execution, user } => {
                let found = self.find(&execution);
                if let Some(run) = found {
                    self.cancel(run, CancelReason::User, user.as_deref(), at.ms);
                }
                Some(found.map_or(Answer::NotFound, |_| Answer::Accepted))
            }
        };
        if let Some(answer) = answer {
            self.answer(RequestSource::Event((*event.id).into()), answer);
        }
    }

    fn answer(&mut self, source: RequestSource, answer: Answer) {
        let request = Request {
            tenant: self.tenant.clone(),
            contact: self.contact.clone(),
            source,
        };
        self.answers.push((request, answer));
    }

    /// Applies an input with this number.
    pub(crate) fn apply_input(&mut self, number: usize, input: &Input<'_>) {
        let (execution, is_asked) = match input.kind {
            InputKind::Cancel { execution, .. } | InputKind::Migrate { execution } => {
                (execution, true)
            }
            InputKind::Resume { execution }
            | InputKind::Fail { execution, .. }
            | InputKind::Hold { execution } => (execution, false),
            InputKind::Gate(_) => return,
        };
        let found = self.find(execution);
        if is_asked {
            let answer = found.map_or(Answer::NotFound, |_| Answer::Accepted);
            self.answer(RequestSource::Input(number), answer);
        }
        let Some(run) = found else {
            return;
        };
        match input.kind {
            InputKind::Cancel { reason, .. } => self.cancel(run, reason, None, input.at),
            InputKind::Migrate { .. } => self.request_migration(run),
            InputKind::Fail { error, .. } => self.fail_refused(run, error, input.at),
            InputKind::Hold { .. } => self.runs[run].is_held = true,
            InputKind::Resume { .. } | InputKind::Gate(_) => {
                let now = &mut self.runs[run].now;
                if now.state == State::OnHold {
                    now.state = State::Queued;
                }
            }
        }
    }

    /// An event ends waits, then starts executions.
    fn observe(
        &mut self,
        entry: EntryRef<'c>,
        event: &Event<'c>,
        original: &str,
        changed: Vec<Text<'c>>,
    ) {
        let hops = if *event.source == *ACTIONS {
            let hops = Members::of_event(entry.entry.event).integer("hops");
            hops.unwrap_or(0).clamp(0, i64::from(u8::MAX)) as u8
        } else {
            0
        };
        let observed = Observed {
            entry,
            event: event.clone(),
            original: original.into(),
            at: Received::of(entry),
            hops,
            changed,
            place: self.place,
        };
        for run in 0..self.runs.len() {
            self.end_listening(run, &observed);
        }
        self.start_by_event(&observed);
        self.observed.push(observed);
    }

    /// Repeats the events of the contact for waits that began before them, but after the first phase.
    /// Returns whether any ended a wait.
    pub(super) fn replay(&mut self) -> bool {
        let is_listening = |run: &super::run::Run| {
            run.is_live() && run.now.state == State::Listening && run.is_changed()
        };
        if !self.runs.iter().any(is_listening) {
            return false;
        }
        let last = self.place;
        let mut has_ended = false;
        for observed in std::mem::take(&mut self.observed) {
            self.place = observed.place;
            for run in 0..self.runs.len() {
                if is_listening(&self.runs[run]) {
                    has_ended |= self.end_listening(run, &observed);
                }
            }
            self.observed.push(observed);
        }
        self.place = last;
        has_ended
    }

    /// Ends the wait of a run if the event matches its pattern. Returns whether it did.
    fn end_listening(&mut self, run: usize, observed: &Observed<'c>) -> bool {
        let Observed { event, at, .. } = observed;
        let now = self.runs[run].now;
        if now.state != State::Listening || !self.runs[run].is_live() {
            return false;
        }
        let plan = &self.registry().plan(now.plan).plan;
        let Some(StepKind::WaitForEvent { then, pattern, .. }) =
            plan.step(now.step).map(|step| &step.kind)
        else {
            return false;
        };
        let began = Received {
            ms: now.since,
            seq: now.since_seq,
        };
        let time = event.time_us.div_euclid(1_000) + self.context.clock_skew;
        // Received after the wait began, and not from before the execution (E3).
        if *at <= began
            || time < self.runs[run].started_at
            || !pattern.selects(&event.fact, &observed.changed)
        {
            return false;
        }
        if pattern.needs_contact() {
            match self.contact_state() {
                Some(contact) if pattern.holds(contact) => {}
                _ => return false,
            }
        }
        let key: Uuid = event_key(&event.source, &event.id);
        let is_own = self.is_started_by(run, &observed.original, &event.source, &event.id);
        if is_own || self.is_used(run, key) {
            return false;
        }
        self.runs[run].used_events.push(key);
        self.runs[run].now.used_event = true;
        self.log_with(run, "wait_ended", at.ms, "event");
        self.finish_step(run);
        self.enter(run, *then, Arrival::at(*at));
        true
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
                let now = &mut self.runs[run].now;
                now.state = state;
                now.due = due;
                if state != State::Listening {
                    now.since_seq = 0;
                }
            }
            // It has not entered its first step, or enters its step when it is released.
            State::Queued | State::Ready | State::Inactive
                if position < plan.end() && plan.act(position).is_none() => {}
            // The same action is due since the same time.
            _ if stays && !is_wait && plan.act(position).is_some() => {
                if matches!(now.state, State::Sleeping | State::Listening) {
                    let at = self.watermark();
                    self.enter(run, position, Arrival::at(at));
                }
            }
            _ => {
                let at = self.watermark();
                self.enter(run, position, Arrival::at(at));
            }
        }
    }
}
