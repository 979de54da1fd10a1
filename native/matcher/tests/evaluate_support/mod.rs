//! Events and workflows for a matcher, and a map in place of the table that it commits to.

// Each test file is a separate program and uses only part of this module.
#![allow(dead_code)]

use std::collections::BTreeMap;

use goald_matcher::buffer::BufferWriter;
use goald_matcher::config::{GoalSpec, WorkflowSpec};
use goald_matcher::matcher::Matcher;
use goald_matcher::proposal::{Effect, Proposal};
use serde_json::{Value, json};

pub const NOW_US: i64 = 1_795_181_400_000_000;
/// 2026-03-01T00:00:00Z.
pub const START_US: i64 = 1_772_323_200_000_000;
pub const SECOND_US: i64 = 1_000_000;

pub fn event(name: &str, contact: &str, second: i64, mut data: Value) -> Value {
    data["contact_id"] = json!(contact);
    let (minute, second) = (second / 60, second % 60);
    json!({
        "id": format!("{name}-{minute}-{second}"), "source": "test", "type": name,
        "time": format!("2026-03-01T00:{minute:02}:{second:02}Z"), "tenantid": "acme",
        "data": data,
    })
}

pub fn started(enrollment: &str, contact: &str, workflow: &str, second: i64) -> Value {
    let data = json!({"enrollment_id": enrollment, "workflow_id": workflow});
    event("workflow.enrollment.started", contact, second, data)
}

pub fn ended(enrollment: &str, contact: &str, workflow: &str, second: i64) -> Value {
    let data = json!({"enrollment_id": enrollment, "workflow_id": workflow, "reason": "completed"});
    event("workflow.enrollment.ended", contact, second, data)
}

pub fn tagged(tag: &str, contact: &str, second: i64) -> Value {
    event("contact.tag.added", contact, second, json!({"tag_id": tag}))
}

pub fn buffer<'a>(events: impl IntoIterator<Item = &'a Value>) -> Vec<u8> {
    let mut writer = BufferWriter::new();
    for (number, event) in events.into_iter().enumerate() {
        writer.push(1, number as u64, event.to_string().as_bytes());
    }
    writer.finish()
}

/// The id of the goal with this number.
pub fn goal_id(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

pub fn goal(number: usize, goal_type: &str, criteria: &Value) -> GoalSpec {
    GoalSpec {
        id: goal_id(number),
        goal_type: goal_type.into(),
        criteria: criteria.to_string(),
        check_on_enrollment: false,
        conversion_window: None,
        is_active: true,
        effective_from: Some(START_US),
        created_at: START_US,
        position: number as i64,
    }
}

pub fn workflow(id: &str, logic: &str, goals: Vec<GoalSpec>) -> WorkflowSpec {
    WorkflowSpec {
        tenant_id: "acme".into(),
        workflow_id: id.into(),
        goal_logic: logic.into(),
        is_active: true,
        tag_case_sensitive: false,
        goals,
    }
}

/// A stream in the binary COPY format.
pub fn copy(rows: &[[&str; 4]], enrolled_at: i64, met: &str) -> Vec<u8> {
    copy_with(rows, enrolled_at, met, "")
}

/// As `copy`, of enrollments that carry the values of this JSON object.
pub fn copy_with(rows: &[[&str; 4]], enrolled_at: i64, met: &str, values: &str) -> Vec<u8> {
    let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for row in rows {
        bytes.extend(8_i16.to_be_bytes());
        let enrolled_at = enrolled_at.to_be_bytes();
        let texts = row.iter().map(|text| text.as_bytes());
        let others = [&enrolled_at[..], met.as_bytes(), &[0], values.as_bytes()];
        for field in texts.chain(others) {
            bytes.extend((field.len() as i32).to_be_bytes());
            bytes.extend(field);
        }
    }
    bytes.extend((-1_i16).to_be_bytes());
    bytes
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub contact: String,
    pub workflow: String,
    pub status: &'static str,
    pub enrolled_at: i64,
    pub ended_at: Option<i64>,
    /// The ids of the goals met, sorted.
    pub met: Vec<String>,
}

pub type Table = BTreeMap<String, Row>;

/// The greatest time of a deletion, by contact.
pub type Deleted = BTreeMap<String, i64>;

/// Commits the effects that the table accepts and applies them. Returns the marks.
pub fn commit(matcher: &mut Matcher, table: &mut Table, proposal: &Proposal) -> Vec<u8> {
    commit_after(matcher, table, &mut Deleted::new(), proposal)
}

/// As `commit`. Late enrollments of contacts deleted by an earlier batch are stored as cancelled.
pub fn commit_after(
    matcher: &mut Matcher,
    table: &mut Table,
    deleted: &mut Deleted,
    proposal: &Proposal,
) -> Vec<u8> {
    let marks: Vec<u8> = proposal
        .effects
        .iter()
        .map(|effect| u8::from(write(table, deleted, effect)))
        .collect();
    matcher.apply(proposal, &marks).unwrap();
    for deletion in &proposal.deletions {
        let latest = deleted
            .entry(deletion.contact_id.to_string())
            .or_insert(deletion.time);
        *latest = deletion.time.max(*latest);
    }
    marks
}

fn write(table: &mut Table, deleted: &Deleted, effect: &Effect) -> bool {
    let mut row = Row {
        contact: effect.contact_id.to_string(),
        workflow: effect.workflow_id.to_string(),
        status: effect.status.name(),
        enrolled_at: effect.enrolled_at,
        ended_at: effect.ended_at,
        met: effect.met.iter().map(ToString::to_string).collect(),
    };
    let current = table.get(&*effect.enrollment_id);
    match current {
        Some(current) if !effect.is_new() && current.status == "active" => {
            row.met.extend(current.met.iter().cloned());
        }
        None if effect.is_new() => {
            let at = deleted.get(&row.contact);
            if at.is_some_and(|at| row.enrolled_at <= *at) {
                row.status = "cancelled";
                row.ended_at = Some(row.enrolled_at);
                row.met.clear();
                table.insert(effect.enrollment_id.to_string(), row);
                return false;
            }
        }
        _ => return false,
    }
    row.met.sort();
    table.insert(effect.enrollment_id.to_string(), row);
    true
}
