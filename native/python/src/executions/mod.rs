//! The state machine of executions: plans, inputs and proposals.

mod input;
mod proposal;

use goald_matcher::executions::{ExecutionCounts, Overdue, QueuedExecution, State, WorkflowPlans};
use goald_matcher::matcher::Matcher as Core;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use self::input::{optional, required};
use crate::convert::value_error;

pub use self::input::{OwnedOptions, unknown};
pub use self::proposal::{ExecutionLogs, ExecutionProposal, ExecutionTransitions};

/// (tenant, contact, execution, since, whether it has a permit).
pub type Queued = (String, String, String, i64, bool);

pub fn queued(row: QueuedExecution) -> Queued {
    let (tenant, contact, execution) = row.key;
    (tenant, contact, execution, row.since, row.has_permit)
}

pub fn counts<'py>(py: Python<'py>, counts: &ExecutionCounts) -> PyResult<Bound<'py, PyDict>> {
    let states = PyDict::new(py);
    for (state, count) in State::ALL.iter().zip(counts.states) {
        states.set_item(state.name(), count)?;
    }
    let dict = PyDict::new(py);
    dict.set_item("states", states)?;
    dict.set_item("due", counts.due)?;
    dict.set_item("oldest_due_ms", counts.oldest_due)?;
    dict.set_item("timers_held", counts.timers_held)?;
    dict.set_item("oldest_timer_ms", counts.oldest_timer)?;
    Ok(dict)
}

/// Replaces the plans of a workflow that a dict describes.
pub fn update_plans(core: &mut Core, dict: &Bound<'_, PyDict>) -> PyResult<()> {
    let tenant: String = required(dict, "tenant_id")?;
    let workflow: String = required(dict, "workflow_id")?;
    let versions: Vec<(i32, Bound<'_, PyBytes>)> = required(dict, "versions")?;
    let overdue: Option<String> = optional(dict, "overdue")?;
    let overdue = match overdue.as_deref() {
        None | Some("run") => Overdue::Run,
        Some("skip") => Overdue::Skip,
        Some("cancel") => Overdue::Cancel,
        Some(_) => return Err(unknown("overdue")),
    };
    let plans = WorkflowPlans {
        tenant: &tenant,
        workflow: &workflow,
        is_active: required(dict, "is_active")?,
        activated_at: optional(dict, "activated_at_ms")?,
        overdue,
        current: optional(dict, "current_version")?,
        versions: versions
            .iter()
            .map(|(version, plan)| (*version, plan.as_bytes()))
            .collect(),
        tag_case_sensitive: optional(dict, "tag_case_sensitive")?.unwrap_or(false),
    };
    core.update_plans(&plans).map_err(value_error)
}
