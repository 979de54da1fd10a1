//! The configuration of workflows, from Python dicts.

use goald_matcher::config::{GoalSpec, WorkflowSpec};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

pub fn workflow(dict: &Bound<'_, PyDict>) -> PyResult<WorkflowSpec> {
    let goals = required(dict, "goals")?
        .try_iter()?
        .map(|item| goal(item?.cast::<PyDict>()?));
    Ok(WorkflowSpec {
        tenant_id: required(dict, "tenant_id")?.extract()?,
        workflow_id: required(dict, "workflow_id")?.extract()?,
        goal_logic: required(dict, "goal_logic")?.extract()?,
        is_active: required(dict, "is_active")?.extract()?,
        tag_case_sensitive: flag(dict, "tag_case_sensitive")?,
        goals: goals.collect::<PyResult<_>>()?,
    })
}

fn goal(dict: &Bound<'_, PyDict>) -> PyResult<GoalSpec> {
    Ok(GoalSpec {
        id: required(dict, "id")?.extract()?,
        goal_type: required(dict, "goal_type")?.extract()?,
        criteria: required(dict, "criteria")?.extract()?,
        check_on_enrollment: flag(dict, "check_on_enrollment")?,
        conversion_window: match dict.get_item("conversion_window")? {
            Some(value) => value.extract()?,
            None => None,
        },
        is_active: required(dict, "is_active")?.extract()?,
        effective_from: required(dict, "effective_from")?.extract()?,
        created_at: required(dict, "created_at")?.extract()?,
        position: required(dict, "position")?.extract()?,
    })
}

/// False if it is absent.
fn flag(dict: &Bound<'_, PyDict>, key: &str) -> PyResult<bool> {
    match dict.get_item(key)? {
        Some(value) => value.extract(),
        None => Ok(false),
    }
}

fn required<'py>(dict: &Bound<'py, PyDict>, key: &str) -> PyResult<Bound<'py, PyAny>> {
    dict.get_item(key)?
        .ok_or_else(|| PyValueError::new_err(format!("a workflow or goal has no {key}")))
}
