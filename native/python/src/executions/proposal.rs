//! A proposal of transitions, or a slice of one. Columns become lists when they are read.

use std::ops::Range;
use std::sync::Arc;

use goald_matcher::executions::{
    Answer, ExecutionProposal as Core, Job, LogRow, Subject, Transition,
};
use pyo3::prelude::*;

#[derive(Clone)]
#[pyclass(frozen, module = "goald._native")]
pub struct ExecutionProposal {
    core: Arc<Core>,
    slice: Range<usize>,
}

impl ExecutionProposal {
    pub fn new(core: Core) -> ExecutionProposal {
        let slice = 0..core.transitions.len();
        ExecutionProposal {
            core: Arc::new(core),
            slice,
        }
    }

    pub fn core(&self) -> &Core {
        &self.core
    }

    pub fn slice(&self) -> Range<usize> {
        self.slice.clone()
    }

    fn is_last(&self) -> bool {
        self.slice.end == self.core.transitions.len()
    }

    /// Rows that belong to no transition are part of the last slice.
    fn if_last<T: Default>(&self, value: impl FnOnce(&Core) -> T) -> T {
        if self.is_last() {
            value(&self.core)
        } else {
            T::default()
        }
    }

    /// The number in this slice of a transition that is part of it.
    fn number(&self, transition: usize) -> Option<usize> {
        let is_part = self.slice.contains(&transition);
        is_part.then(|| transition - self.slice.start)
    }
}

fn owned(text: &Option<Box<str>>) -> Option<String> {
    text.as_deref().map(str::to_owned)
}

#[pymethods]
impl ExecutionProposal {
    fn slices(&self, max_transitions: usize) -> Vec<ExecutionProposal> {
        let slices = self.core.slices(max_transitions).into_iter();
        let part = |slice| ExecutionProposal {
            core: self.core.clone(),
            slice,
        };
        slices.map(part).collect()
    }

    #[getter]
    fn transitions(&self) -> ExecutionTransitions {
        ExecutionTransitions(self.clone())
    }

    #[getter]
    fn logs(&self) -> ExecutionLogs {
        ExecutionLogs(self.clone())
    }

    #[getter]
    fn answers(&self) -> Vec<(usize, &'static str, Option<String>)> {
        let row = |(input, answer): &(usize, Answer)| {
            let id = match answer {
                Answer::Started(id) | Answer::Repeated(id) => Some(id.to_string()),
                _ => None,
            };
            (*input, answer.name(), id)
        };
        self.if_last(|core| core.answers.iter().map(row).collect())
    }

    #[getter]
    fn delays(&self) -> Vec<(String, String, Option<String>, Option<i64>)> {
        let row = |delay: &goald_matcher::executions::Delay| {
            let connection = owned(&delay.connection);
            (
                delay.tenant.to_string(),
                delay.action.to_string(),
                connection,
                delay.until,
            )
        };
        self.if_last(|core| core.delays.iter().map(row).collect())
    }

    #[getter]
    fn notifications(&self) -> Vec<(usize, &'static str, Option<String>)> {
        let row = |each: &goald_matcher::executions::Notification| {
            Some((self.number(each.transition)?, each.kind, owned(&each.error)))
        };
        self.core.notifications.iter().filter_map(row).collect()
    }

    #[getter]
    fn unused_grants(&self) -> Vec<(String, String)> {
        let row = |(tenant, execution): &(Box<str>, Box<str>)| {
            (tenant.to_string(), execution.to_string())
        };
        self.if_last(|core| core.unused_grants.iter().map(row).collect())
    }

    #[getter]
    fn contact_checks(&self) -> Vec<(String, String)> {
        let row =
            |(tenant, contact): &(Box<str>, Box<str>)| (tenant.to_string(), contact.to_string());
        self.core.contact_checks.iter().map(row).collect()
    }

    #[getter]
    fn start_checks(&self) -> Vec<(String, String, String, String)> {
        let row = |check: &goald_matcher::executions::StartCheck| {
            (
                check.tenant.to_string(),
                check.contact.to_string(),
                check.workflow.to_string(),
                check.execution.to_string(),
            )
        };
        self.core.start_checks.iter().map(row).collect()
    }

    #[getter]
    fn event_checks(&self) -> Vec<(usize, String)> {
        let checks = self.core.event_checks.iter();
        checks
            .filter_map(|(transition, event)| Some((self.number(*transition)?, event.to_string())))
            .collect()
    }
}

/// (key, config, hops).
type JobTuple = (String, String, u8);

fn job_tuple(job: &Job) -> JobTuple {
    (job.key.to_string(), job.config.to_string(), job.hops)
}

columns!(ExecutionTransitions(ExecutionProposal) {
    tenant_id: &str = |row| &*row.tenant,
    contact_id: &str = |row| &*row.contact,
    slot: u16 = |row| u16::from(row.slot),
    workflow_id: &str = |row| &*row.workflow,
    execution_id: &str = |row| &*row.execution,
    version: i32 = |row| row.version,
    guard: Option<(String, u16, u16, &'static str)> = |row| row.guard.as_ref().map(|guard| {
        (guard.step.to_string(), guard.visit, guard.attempt, guard.state)
    }),
    state: &'static str = |row| row.after.state.name(),
    status: &'static str = |row| {
        row.end.map_or(row.after.state.status(), |end| end.status())
    },
    waiting_for: Option<&'static str> = |row| {
        row.after.state.waiting_for().filter(|_| row.end.is_none())
    },
    reason: Option<&'static str> = |row| row.end.map(|end| end.reason()),
    step_id: &str = |row| &*row.step,
    step_index: u16 = |row| u16::from(row.after.step) + 1,
    total_steps: u16 = |row| u16::from(row.total_steps),
    visit: u16 = |row| row.after.visit,
    attempt: u16 = |row| row.after.attempt,
    retry_count: u16 = |row| u16::from(row.after.retries),
    hops: u16 = |row| u16::from(row.after.hops),
    action: Option<&str> = |row| row.action.as_deref(),
    connection: Option<&str> = |row| row.connection.as_deref(),
    zone: &str = |row| &*row.zone,
    since_ms: i64 = |row| row.after.since,
    due_ms: Option<i64> = |row| row.after.due,
    done_steps: Vec<String> = |row| row.done.iter().map(ToString::to_string).collect(),
    started_at_ms: i64 = |row| row.started_at,
    migrates: bool = |row| row.after.migrates,
    used_event: bool = |row| row.after.used_event,
    used_events: Vec<String> = |row| row.used_events.iter().map(ToString::to_string).collect(),
    job: Option<JobTuple> = |row| row.job.as_ref().map(job_tuple),
    closes_gate: bool = |row| row.closes_gate,
    had_permit: bool = |row| row.permit.0,
    has_permit: bool = |row| row.permit.1,
    is_first_phase: bool = |row| row.is_first_phase,
});

impl ExecutionTransitions {
    fn rows(&self) -> impl ExactSizeIterator<Item = &Transition> {
        self.0.core.transitions[self.0.slice.clone()].iter()
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
        for row in &proposal.core.logs {
            match row.subject {
                Subject::Transition(transition) => {
                    let number = proposal.number(transition);
                    rows.extend(number.map(|number| (Some(number), row)));
                }
                Subject::Other { .. } if proposal.is_last() => rows.push((None, row)),
                Subject::Other { .. } => {}
            }
        }
        rows.into_iter()
    }
}
