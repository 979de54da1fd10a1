//! The evaluation of one contact.

use std::collections::{BTreeMap, HashSet};

use uuid::Uuid;

use super::input::{Observed, Options, Place, Received};
use super::messages::Report;
use super::registry::Registry;
use super::run::Run;
use crate::index::{Index, State};
use crate::plan::Contact;
use crate::proposal::{
    Answer, CancelReason, ContactCheck, Delay, End, EntryRef, LogRow, Notification, Request,
    StartCheck, Subject,
};

/// All that an evaluation reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'c> {
    pub index: &'c Index,
    pub registry: &'c Registry,
    pub options: Options<'c>,
    /// Added to event times when they are compared with starts (E3). Milliseconds.
    pub clock_skew: i64,
    /// The granted executions of all tenants (tenant, execution); `None`: all.
    pub granted: Option<&'c HashSet<(&'c str, &'c str)>>,
}

#[derive(Debug)]
pub(crate) struct Case<'c> {
    pub(super) context: Context<'c>,
    pub(crate) tenant: Box<str>,
    pub(crate) contact: Box<str>,
    /// The number of the contact, if it has enrollments.
    pub(super) number: Option<u32>,
    pub(super) runs: Vec<Run>,
    /// The contact by its place.
    known: Option<&'c BTreeMap<u32, Contact>>,
    /// The place of the current event.
    pub(crate) place: Place,
    /// The events that may end waits, in order.
    pub(super) observed: Vec<Observed<'c>>,
    pub(super) reports: Vec<(EntryRef<'c>, Report)>,
    /// The last start in each workflow in this evaluation.
    pub(super) last_starts: Vec<(u32, i64)>,
    pub(super) notifications: Vec<Notification>,
    pub(super) answers: Vec<(Request, Answer)>,
    pub(super) delays: Vec<Delay>,
    pub(super) contact_checks: Vec<ContactCheck>,
    pub(super) start_checks: Vec<StartCheck>,
    /// The rows of the log, with the run to which they belong.
    logs: Vec<(Option<usize>, LogRow)>,
}

impl<'c> Case<'c> {
    pub(super) fn new(context: Context<'c>, tenant: &str, contact: &str) -> Case<'c> {
        let contacts = &context.options.facts.contacts;
        let known = if contacts.is_empty() {
            None
        } else {
            contacts.get(&(tenant.to_owned(), contact.to_owned()))
        };
        let mut case = Case {
            context,
            tenant: tenant.into(),
            contact: contact.into(),
            number: context.index.contact(tenant, contact),
            runs: Vec::new(),
            known,
            place: Place::default(),
            observed: Vec::new(),
            reports: Vec::new(),
            last_starts: Vec::new(),
            notifications: Vec::new(),
            answers: Vec::new(),
            delays: Vec::new(),
            contact_checks: Vec::new(),
            start_checks: Vec::new(),
            logs: Vec::new(),
        };
        case.load();
        case
    }

    /// Reads the executions of the contact, the oldest first.
    fn load(&mut self) {
        let (index, registry) = (self.context.index, self.context.registry);
        for (enrollment, record) in self.number.iter().flat_map(|&at| index.of_contact(at)) {
            let Some(at) = index.executions().of(enrollment) else {
                continue;
            };
            let execution = index.executions().get(at);
            self.runs.push(Run {
                enrollment: Some(enrollment),
                id: None,
                begun: None,
                effect: None,
                workflow: registry.plan(execution.plan).workflow,
                before: Some(execution),
                now: execution,
                started_at: record.enrolled_at.div_euclid(1_000),
                end: None,
                job: None,
                done: Vec::new(),
                other_done: index.executions().other_done(at).to_vec(),
                used_events: Vec::new(),
                variables: None,
                is_held: false,
                is_in_later_phase: false,
                has_result: false,
            });
        }
        // The index has the latest first, and the order after a load is another one.
        if self.runs.len() > 1 {
            self.runs
                .sort_by_cached_key(|run| (run.started_at, run_id(index, run)));
        }
    }

    /// The number of executions.
    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(crate) fn is_live(&self, run: usize) -> bool {
        self.runs[run].is_live()
    }

    /// The enrollment of an execution: in the index, or the effect that starts it.
    pub(crate) fn enrollment(&self, run: usize) -> (Option<u32>, Option<usize>) {
        (self.runs[run].enrollment, self.runs[run].effect)
    }

    pub(crate) fn set_effect(&mut self, run: usize, effect: usize) {
        self.runs[run].effect = Some(effect);
    }

    /// The workflow, the id and the start of an execution that has no enrollment yet.
    pub(crate) fn started(&self, run: usize) -> Option<(Box<str>, Box<str>, i64)> {
        let started = &self.runs[run];
        let is_new = started.enrollment.is_none() && started.effect.is_none();
        is_new.then(|| {
            let workflow = &self.registry().get(started.workflow).id;
            (workflow.clone(), self.id_of(run), started.started_at)
        })
    }

    /// How and when an execution has ended.
    pub(crate) fn ended(&self, run: usize) -> Option<(End, i64)> {
        self.runs[run].end
    }

    /// Ends an execution whose enrollment an entry has ended. `reason`: of a cancellation; `None` if
    /// the goals are met.
    pub(crate) fn end_with(
        &mut self,
        run: usize,
        reason: Option<CancelReason>,
        effect: Option<usize>,
        entry: EntryRef<'_>,
    ) {
        self.runs[run].effect = effect;
        let at = Received::of(entry).ms;
        match reason {
            Some(reason) => self.cancel(run, reason, None, at),
            None => self.complete(run, End::GoalAchieved, at),
        }
    }

    pub(super) fn registry(&self) -> &'c Registry {
        self.context.registry
    }

    /// The contact after the events so far. `None` if it is not known, and must be read.
    pub(super) fn contact_state(&mut self) -> Option<&'c Contact> {
        let place = self.place;
        let found = self.known.and_then(|known| known.get(&place.position));
        if found.is_none() {
            let check = ContactCheck {
                tenant: self.tenant.clone(),
                contact: self.contact.clone(),
                position: place.position,
                contact_events: place.contact_events,
                deletions: place.deletions,
            };
            if !self.contact_checks.contains(&check) {
                self.contact_checks.push(check);
            }
        }
        found
    }

    /// The live run with this id.
    pub(super) fn find(&self, execution: &str) -> Option<usize> {
        let index = self.context.index;
        let enrollment = self
            .number
            .and_then(|at| index.find_enrollment(at, execution));
        let is_same = |run: &Run| match run.enrollment {
            Some(_) => run.enrollment == enrollment,
            None => run.id.is_some_and(|id| id.to_string() == execution),
        };
        self.runs
            .iter()
            .position(|run| run.is_live() && is_same(run))
    }

    pub(super) fn id_of(&self, run: usize) -> Box<str> {
        run_id(self.context.index, &self.runs[run])
    }

    /// Whether an event of this contact, before it was passed on, started a run.
    pub(super) fn is_started_by(&self, run: usize, original: &str, source: &str, id: &str) -> bool {
        let workflow = &self.registry().get(self.runs[run].workflow).id;
        let derived = super::ids::by_event(&self.tenant, workflow, original, source, id);
        *self.id_of(run) == *derived.to_string()
    }

    /// Of two live executions of merged contacts in a workflow that allows one, the younger ends
    /// (E21).
    pub(crate) fn end_merged(&mut self) {
        let now = self.context.options.now;
        let mut seen = Vec::new();
        for run in 0..self.runs.len() {
            let each = &self.runs[run];
            let is_single = self.registry().allows_one(each.now.plan);
            if !is_single || !each.is_live() || each.now.state == State::Failed {
                continue;
            }
            let workflow = each.workflow;
            if seen.contains(&workflow) {
                self.cancel(run, CancelReason::ContactMerged, None, now);
            } else {
                seen.push(workflow);
            }
        }
    }

    /// Ends all live runs.
    pub(super) fn cancel_all(&mut self, reason: CancelReason, at: i64) {
        for run in 0..self.runs.len() {
            if self.runs[run].is_live() {
                self.cancel(run, reason, None, at);
            }
        }
    }

    /// Adds a row to the log of a run, with its step and attempt.
    pub(super) fn log_step(&mut self, run: usize, event: &'static str, at: i64) -> &mut LogRow {
        let now = &self.runs[run].now;
        let plan = &self.registry().plan(now.plan).plan;
        let step = plan
            .step(now.step)
            .map(|step| (now.step + 1, step.id.clone()));
        self.push(
            Some(run),
            LogRow {
                subject: Subject::Transition(usize::MAX),
                event,
                at,
                step,
                attempt: now.attempt,
                duration: None,
                message: None,
                user: None,
            },
        )
    }

    pub(super) fn log_with(
        &mut self,
        run: usize,
        event: &'static str,
        at: i64,
        message: &str,
    ) -> &mut LogRow {
        let row = self.log_step(run, event, at);
        row.message = Some(message.into());
        row
    }

    /// Adds a row about something that changes no execution.
    pub(super) fn log_other(
        &mut self,
        event: &'static str,
        at: i64,
        workflow: Option<&str>,
        execution: Option<&str>,
    ) -> &mut LogRow {
        let subject = Subject::Other {
            tenant: self.tenant.clone(),
            contact: self.contact.clone(),
            workflow: workflow.map(Into::into),
            execution: execution.map(Into::into),
        };
        self.push(
            None,
            LogRow {
                subject,
                event,
                at,
                step: None,
                attempt: 0,
                duration: None,
                message: None,
                user: None,
            },
        )
    }

    fn push(&mut self, run: Option<usize>, row: LogRow) -> &mut LogRow {
        self.logs.push((run, row));
        let last = self.logs.len() - 1;
        &mut self.logs[last].1
    }

    /// Moves the rows of the log to the proposal. `transitions`: by run.
    pub(super) fn publish_logs(&mut self, transitions: &[Option<usize>], out: &mut Vec<LogRow>) {
        for (run, mut row) in std::mem::take(&mut self.logs) {
            if let Some(transition) = run.and_then(|run| transitions[run]) {
                row.subject = Subject::Transition(transition);
            }
            out.push(row);
        }
    }

    /// Whether Postgres knows that the event has ended a wait of the run, or this evaluation does.
    pub(super) fn is_used(&self, run: usize, event: Uuid) -> bool {
        let excluded = &self.context.options.facts.excluded;
        let known = || {
            excluded.contains(&(
                self.tenant.to_string(),
                self.id_of(run).into_string(),
                event,
            ))
        };
        self.runs[run].used_events.contains(&event) || (!excluded.is_empty() && known())
    }
}

fn run_id(index: &Index, run: &Run) -> Box<str> {
    match (run.enrollment, run.id) {
        (Some(enrollment), _) => index.enrollment_id(enrollment).into(),
        (None, id) => id.map(|id| id.to_string()).unwrap_or_default().into(),
    }
}
