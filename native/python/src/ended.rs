//! Ended enrollments (E18) and keys of events, from Python tuples.

use goald_matcher::config::goal_id;
use goald_matcher::evaluate::{EndedAnswer, WatchedRun};
use goald_matcher::event::MatchValues;
use goald_matcher::ids::derived::{EventKey, parse_event_key};
use goald_matcher::proposal::Status;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Tenant, contact, workflow, events and whether they have counted, and enrollments.
pub type Ended = (String, String, String, Vec<(String, bool)>, Vec<Run>);
/// Enrollment id, status, `enrolled_at`, `ended_at`, when it began, the goals that it has met, its
/// values as JSON, the event that started it, and the merges that moved it.
type Run = (
    String,
    String,
    i64,
    i64,
    i64,
    Vec<String>,
    Option<String>,
    Option<String>,
    Vec<i64>,
);

pub fn ended_answer(
    (tenant_id, contact_id, workflow_id, events, runs): Ended,
) -> PyResult<EndedAnswer> {
    let event = |(event, counted): (String, bool)| Ok((event_key(&event)?, counted));
    Ok(EndedAnswer {
        tenant_id,
        contact_id,
        workflow_id,
        events: events.into_iter().map(event).collect::<PyResult<_>>()?,
        runs: runs.into_iter().map(run).collect::<PyResult<_>>()?,
    })
}

fn run(
    (enrollment_id, status, enrolled_at, ended_at, began_at, met, values, started_by, merges): Run,
) -> PyResult<WatchedRun> {
    let goal = |id: &String| goal_id(id).ok_or_else(|| invalid("a goal id"));
    let values = values
        .filter(|json| !json.is_empty())
        .map(|json| MatchValues::from_json(&json).ok_or_else(|| invalid("match_values")));
    Ok(WatchedRun {
        enrollment_id,
        status: Status::ended(&status).ok_or_else(|| invalid("a status"))?,
        enrolled_at,
        ended_at,
        began_at,
        met: met.iter().map(goal).collect::<PyResult<_>>()?,
        match_values: values.transpose()?,
        started_by: started_by.as_deref().map(event_key).transpose()?,
        merges,
    })
}

/// (tenant, enrollment id, event) with the event as a UUID.
pub fn event_keys(
    rows: Vec<(String, String, String)>,
) -> PyResult<Vec<(String, String, EventKey)>> {
    let key = |(tenant, enrollment, event): (String, String, String)| {
        Ok((tenant, enrollment, event_key(&event)?))
    };
    rows.into_iter().map(key).collect()
}

pub fn event_key(text: &str) -> PyResult<EventKey> {
    parse_event_key(text).ok_or_else(|| PyValueError::new_err("an event key is not a UUID"))
}

fn invalid(what: &str) -> PyErr {
    PyValueError::new_err(format!("{what} of an ended enrollment is invalid"))
}
