//! The evaluation of one contact.

use std::collections::HashSet;

use uuid::Uuid;

use super::input::{CancelReason, Options};
use super::proposal::{ExecutionProposal, LogRow, Notification, Subject};
use super::registry::Registry;
use super::run::Run;
use crate::index::Index;
use crate::plan::Contact;

/// All that an evaluation reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'c> {
    pub index: &'c Index,
    pub registry: &'c Registry,
    pub options: Options<'c>,
    /// The granted executions of all tenants (tenant, execution); `None`: all.
    pub granted: Option<&'c HashSet<(&'c str, &'c str)>>,
}

pub(super) struct Case<'c> {
    pub context: Context<'c>,
    pub out: &'c mut ExecutionProposal,
    pub tenant: &'c str,
    pub contact: &'c str,
    /// The number of the contact, if it has enrollments.
    pub number: Option<u32>,
    pub runs: Vec<Run>,
    /// The contact, after the events so far.
    pub described: Option<&'c Contact>,
    /// The last start in each workflow in this evaluation.
    pub last_starts: Vec<(u32, i64)>,
    pub notifications: Vec<Notification>,
    /// The rows of the log, with the run to which they belong.
    logs: Vec<(Option<usize>, LogRow)>,
}

impl<'c> Case<'c> {
    pub fn new(
        context: Context<'c>,
        out: &'c mut ExecutionProposal,
        tenant: &'c str,
        contact: &'c str,
    ) -> Case<'c> {
        let number = context.index.contact(tenant, contact);
        let contacts = &context.options.facts.contacts;
        let described = if contacts.is_empty() {
            None
        } else {
            contacts.get(&(tenant.to_owned(), contact.to_owned()))
        };
        let mut case = Case {
            context,
            out,
            tenant,
            contact,
            number,
            runs: Vec::new(),
            described,
            last_starts: Vec::new(),
            notifications: Vec::new(),
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
                workflow: registry.plan(execution.plan).workflow,
                before: Some(execution),
                now: execution,
                started_at: record.enrolled_at.div_euclid(1_000),
                end: None,
                job: None,
                done: Vec::new(),
                other_done: index.executions().other_done(at).to_vec(),
                used_events: Vec::new(),
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

    pub fn registry(&self) -> &'c Registry {
        self.context.registry
    }

    /// The state of the contact. `None` if it is not known, and must be read.
    pub fn contact_state(&mut self) -> Option<&'c Contact> {
        if self.described.is_none() {
            let key = (self.tenant.into(), self.contact.into());
            // The checks of a contact follow each other.
            if self.out.contact_checks.last() != Some(&key) {
                self.out.contact_checks.push(key);
            }
        }
        self.described
    }

    /// The live run with this id.
    pub fn find(&self, execution: &str) -> Option<usize> {
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

    pub fn id_of(&self, run: usize) -> Box<str> {
        run_id(self.context.index, &self.runs[run])
    }

    /// Whether an event, identified by its key, started a run.
    pub fn is_started_by(&self, run: usize, source: &str, id: &str) -> bool {
        let workflow = &self.registry().get(self.runs[run].workflow).id;
        let derived = super::ids::by_event(self.tenant, workflow, self.contact, source, id);
        *self.id_of(run) == *derived.to_string()
    }

    /// Ends all live runs.
    pub fn cancel_all(&mut self, reason: CancelReason, at: i64, started_until: Option<i64>) {
        for run in 0..self.runs.len() {
            let is_old = started_until.is_none_or(|until| self.runs[run].started_at <= until);
            if self.runs[run].is_live() && is_old {
                self.cancel(run, reason, None, at);
            }
        }
    }

    /// Adds a row to the log of a run, with its step and attempt.
    pub fn log_step(&mut self, run: usize, event: &'static str, at: i64) -> &mut LogRow {
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

    pub fn log_with(
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
    pub fn log_other(
        &mut self,
        event: &'static str,
        at: i64,
        workflow: Option<&str>,
        execution: Option<&str>,
    ) -> &mut LogRow {
        let subject = Subject::Other {
            tenant: self.tenant.into(),
            contact: self.contact.into(),
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
    pub fn publish_logs(&mut self, transitions: &[Option<usize>]) {
        for (run, mut row) in std::mem::take(&mut self.logs) {
            if let Some(transition) = run.and_then(|run| transitions[run]) {
                row.subject = Subject::Transition(transition);
            }
            self.out.logs.push(row);
        }
    }

    /// Whether Postgres knows that the event has ended a wait of the run, or this evaluation does.
    pub fn is_used(&self, run: usize, event: Uuid) -> bool {
        let excluded = &self.context.options.facts.excluded;
        let known =
            || excluded.contains(&(self.tenant.to_owned(), self.id_of(run).into_string(), event));
        self.runs[run].used_events.contains(&event) || (!excluded.is_empty() && known())
    }
}

fn run_id(index: &Index, run: &Run) -> Box<str> {
    match (run.enrollment, run.id) {
        (Some(enrollment), _) => index.enrollment_id(enrollment).into(),
        (None, id) => id.map(|id| id.to_string()).unwrap_or_default().into(),
    }
}
