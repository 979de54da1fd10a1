//! The changes of executions in a proposal, or in a slice of one. Columns become lists when they are
//! read.

use goald_matcher::proposal::{
    Answer, ExecutionRows, Job, LogRow, Request, RequestSource, Subject, Transition,
};
use pyo3::prelude::*;

use crate::proposal::Proposal;

#[derive(Clone)]
#[pyclass(frozen, module = "goald._native")]
pub struct ExecutionProposal(Proposal);

impl ExecutionProposal {
    /// `None` if the proposal has no changes of executions.
    pub fn of(proposal: &Proposal) -> Option<ExecutionProposal> {
        let rows = proposal.core().executions.as_ref();
        rows.map(|_| ExecutionProposal(proposal.clone()))
    }

    fn rows(&self) -> &ExecutionRows {
        const NONE: &ExecutionRows = &ExecutionRows::NONE;
        self.0.core().executions.as_deref().unwrap_or(NONE)
    }

    /// Rows that belong to no transition are part of the last slice.
    fn if_last<T: Default>(&self, value: impl FnOnce(&ExecutionRows) -> T) -> T {
        if self.0.slice().is_last {
            value(self.rows())
        } else {
            T::default()
        }
    }

    /// The number in this slice of a transition that is part of it.
    fn number(&self, transition: usize) -> Option<usize> {
        let slice = &self.0.slice().transitions;
        slice
            .contains(&transition)
            .then(|| transition - slice.start)
    }
}

fn owned(text: &Option<Box<str>>) -> Option<String> {
    text.as_deref().map(str::to_owned)
}

#[pymethods]
impl ExecutionProposal {
    #[getter]
    fn transitions(&self) -> ExecutionTransitions {
        ExecutionTransitions(self.clone())
    }

    #[getter]
    fn logs(&self) -> ExecutionLogs {
        ExecutionLogs(self.clone())
    }

    #[getter]
    fn answers(&self) -> Vec<AnswerTuple> {
        let row = |(request, answer): &(Request, Answer)| {
            let (input, event) = match &request.source {
                RequestSource::Input(number) => (Some(*number), None),
                RequestSource::Event(id) => (None, Some(id.to_string())),
            };
            let (tenant, contact) = (request.tenant.to_string(), request.contact.to_string());
            let id = match answer {
                Answer::Started(id) | Answer::Repeated(id) => Some(id.to_string()),
                _ => None,
            };
            (input, event, tenant, contact, answer.name(), id)
        };
        self.if_last(|rows| rows.answers.iter().map(row).collect())
    }

    #[getter]
    fn postponed(&self) -> Vec<usize> {
        self.if_last(|rows| rows.postponed.clone())
    }

    #[getter]
    fn delays(&self) -> Vec<(String, String, Option<String>, Option<i64>)> {
        let row = |delay: &goald_matcher::proposal::Delay| {
            let connection = owned(&delay.connection);
            (
                delay.tenant.to_string(),
                delay.action.to_string(),
                connection,
                delay.until,
            )
        };
        self.if_last(|rows| rows.delays.iter().map(row).collect())
    }

    #[getter]
    fn notifications(&self) -> Vec<(usize, &'static str, Option<String>)> {
        let row = |each: &goald_matcher::proposal::Notification| {
            Some((self.number(each.transition)?, each.kind, owned(&each.error)))
        };
        self.rows().notifications.iter().filter_map(row).collect()
    }

    #[getter]
    fn unused_grants(&self) -> Vec<(String, String)> {
        let row = |(tenant, execution): &(Box<str>, Box<str>)| {
            (tenant.to_string(), execution.to_string())
        };
        self.if_last(|rows| rows.unused_grants.iter().map(row).collect())
    }

    #[getter]
    fn contact_checks(&self) -> Vec<(String, String, u32, usize, usize)> {
        let row = |check: &goald_matcher::proposal::ContactCheck| {
            (
                check.tenant.to_string(),
                check.contact.to_string(),
                check.position,
                check.contact_events,
                check.deletions,
            )
        };
        self.rows().contact_checks.iter().map(row).collect()
    }

    #[getter]
    fn start_checks(&self) -> Vec<(String, String, String, String)> {
        let row = |check: &goald_matcher::proposal::StartCheck| {
            (
                check.tenant.to_string(),
                check.contact.to_string(),
                check.workflow.to_string(),
                check.execution.to_string(),
            )
        };
        self.rows().start_checks.iter().map(row).collect()
    }

    #[getter]
    fn event_checks(&self) -> Vec<(usize, String)> {
        let checks = self.rows().event_checks.iter();
        checks
            .filter_map(|(transition, event)| Some((self.number(*transition)?, event.to_string())))
            .collect()
    }
}

/// (input, event, tenant, contact, answer, execution).
type AnswerTuple = (
    Option<usize>,
    Option<String>,
    String,
    String,
    &'static str,
    Option<String>,
);

/// (key, config, hops).
type JobTuple = (String, String, u8);

fn job_tuple(job: &Job) -> JobTuple {
    (job.key.to_string(), job.config.to_string(), job.hops)
}

columns!(ExecutionTransitions(ExecutionProposal) {
    tenant_id: &str = |(_, row)| &*row.tenant,
    contact_id: &str = |(_, row)| &*row.contact,
    slot: u16 = |(_, row)| u16::from(row.slot),
    workflow_id: &str = |(_, row)| &*row.workflow,
    execution_id: &str = |(_, row)| &*row.execution,
    effect: Option<usize> = |(first, row)| row.effect.map(|effect| effect - first),
    version: i32 = |(_, row)| row.version,
    guard: Option<(String, u16, u16, &'static str)> = |(_, row)| row.guard.as_ref().map(|guard| {
        (guard.step.to_string(), guard.visit, guard.attempt, guard.state)
    }),
    state: &'static str = |(_, row)| row.after.state.name(),
    status: &'static str = |(_, row)| {
        row.end.map_or(row.after.state.status(), |end| end.status())
    },
    waiting_for: Option<&'static str> = |(_, row)| {
        row.after.state.waiting_for().filter(|_| row.end.is_none())
    },
    reason: Option<&'static str> = |(_, row)| row.end.map(|end| end.reason()),
    step_id: &str = |(_, row)| &*row.step,
    step_index: u16 = |(_, row)| u16::from(row.after.step) + 1,
    total_steps: u16 = |(_, row)| u16::from(row.total_steps),
    visit: u16 = |(_, row)| row.after.visit,
    attempt: u16 = |(_, row)| row.after.attempt,
    retry_count: u16 = |(_, row)| u16::from(row.after.retries),
    hops: u16 = |(_, row)| u16::from(row.after.hops),
    action: Option<&str> = |(_, row)| row.action.as_deref(),
    connection: Option<&str> = |(_, row)| row.connection.as_deref(),
    zone: &str = |(_, row)| &*row.zone,
    since_ms: i64 = |(_, row)| row.after.since,
    since_seq: u16 = |(_, row)| row.after.since_seq,
    due_ms: Option<i64> = |(_, row)| row.after.due,
    done_steps: Vec<String> = |(_, row)| row.done.iter().map(ToString::to_string).collect(),
    variables: Option<&str> = |(_, row)| row.variables.as_deref(),
    started_at_ms: i64 = |(_, row)| row.started_at,
    migrates: bool = |(_, row)| row.after.migrates,
    used_event: bool = |(_, row)| row.after.used_event,
    used_events: Vec<String> = |(_, row)| row.used_events.iter().map(ToString::to_string).collect(),
    job: Option<JobTuple> = |(_, row)| row.job.as_ref().map(job_tuple),
    closes_gate: bool = |(_, row)| row.closes_gate,
    had_permit: bool = |(_, row)| row.permit.0,
    has_permit: bool = |(_, row)| row.permit.1,
    is_first_phase: bool = |(_, row)| row.is_first_phase,
});

impl ExecutionTransitions {
    /// With the number of the first effect of the slice.
    fn rows(&self) -> impl ExactSizeIterator<Item = (usize, &Transition)> {
        let slice = self.0.0.slice();
        let rows = self.0.rows().transitions[slice.transitions.clone()].iter();
        rows.map(|row| (slice.effects.start, row))
    }
}

columns!(ExecutionLogs(ExecutionProposal) {
    transition: Option<usize> = |(transition, _)| transition,
    tenant_id: Option<String> = |(_, row)| subject(row).0,
    contact_id: Option<String> = |(_, row)| subject(row).1,
    workflow_id: Option<String> = |(_, row)| subject(row).2,
    execution_id: Option<String> = |(_, row)| subject(row).3,
    event_type: &'static str = |(_, row)| row.event,
    at_ms: i64 = |(_, row)| row.at,
    step_index: Option<u16> = |(_, row)| {
        let index = row.step.as_ref().map(|(index, _)| u16::from(*index));
        index.filter(|index| *index > 0)
    },
    step_id: Option<&str> = |(_, row)| row.step.as_ref().map(|(_, id)| &**id),
    attempt: u16 = |(_, row)| row.attempt,
    duration_ms: Option<i64> = |(_, row)| row.duration,
    message: Option<&str> = |(_, row)| row.message.as_deref(),
    user: Option<&str> = |(_, row)| row.user.as_deref(),
});

/// Tenant, contact, workflow and execution of a row that belongs to no transition.
fn subject(
    row: &LogRow,
) -> (
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
) {
    match &row.subject {
        Subject::Transition(_) => (None, None, None, None),
        Subject::Other {
            tenant,
            contact,
            workflow,
            execution,
        } => (
            Some(tenant.to_string()),
            Some(contact.to_string()),
            owned(workflow),
            owned(execution),
        ),
    }
}

impl ExecutionLogs {
    /// The rows of the slice, with the number of their transition in it.
    fn rows(&self) -> impl ExactSizeIterator<Item = (Option<usize>, &LogRow)> {
        let proposal = &self.0;
        let mut rows = Vec::new();
        for row in &proposal.rows().logs {
            match row.subject {
                Subject::Transition(transition) => {
                    let number = proposal.number(transition);
                    rows.extend(number.map(|number| (Some(number), row)));
                }
                Subject::Other { .. } if proposal.0.slice().is_last => rows.push((None, row)),
                Subject::Other { .. } => {}
            }
        }
        rows.into_iter()
    }
}
