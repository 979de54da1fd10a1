//! The rows of a proposal of goals as columns.

use goald_matcher::event::MatchValues;
use goald_matcher::proposal::{Achievement, Effect, Exit};
use pyo3::prelude::*;

use super::Proposal;

columns!(Effects(Proposal) {
    tenant_id: &str = |row| &*row.tenant_id,
    enrollment_id: &str = |row| &*row.enrollment_id,
    contact_id: &str = |row| &*row.contact_id,
    workflow_id: &str = |row| &*row.workflow_id,
    // u16, because a list of u8 would become bytes.
    slot: u16 = |row| u16::from(row.slot),
    is_new: bool = |row| row.is_new(),
    after_end: bool = |row| row.after_end,
    status: &'static str = |row| row.status.name(),
    enrolled_at: i64 = |row| row.enrolled_at,
    ended_at: Option<i64> = |row| row.ended_at,
    met_goals: Vec<String> = |row| row.met.iter().map(ToString::to_string).collect(),
    pending_actions: Option<i32> = |row| row.pending_actions,
    started_by: Option<String> = |row| row.started_by.map(|event| event.to_string()),
    match_values: Option<String> = |row| row.match_values.as_ref().map(MatchValues::to_json),
    after_event: Option<String> = |row| row.after_event.map(|event| event.to_string()),
    received_at: Option<i64> = |row| row.received_at,
    merges: Vec<i64> = |row| row.merges.to_vec(),
});

columns!(Achievements(Proposal) {
    effect: usize = |(effect, _)| effect,
    id: String = |(_, row)| row.id.to_string(),
    goal_id: String = |(_, row)| row.goal_id.to_string(),
    goal_type: &'static str = |(_, row)| row.goal_type.name(),
    achieved_at: i64 = |(_, row)| row.achieved_at,
    trigger_event: &str = |(_, row)| &*row.trigger_event,
    metadata: &str = |(_, row)| &*row.metadata,
});

columns!(Exits(Proposal) {
    effect: usize = |(effect, _)| effect,
    id: String = |(_, row)| row.id.to_string(),
    goal_type: &'static str = |(_, row)| row.goal_type.name(),
    goal_ids: Vec<String> = |(_, row)| row.goal_ids.iter().map(ToString::to_string).collect(),
    achieved_at: i64 = |(_, row)| row.achieved_at,
    event_id: &str = |(_, row)| &*row.event_id,
    event_source: &str = |(_, row)| &*row.event_source,
    event_type: &str = |(_, row)| &*row.event_type,
    traceparent: Option<&str> = |(_, row)| row.traceparent.as_deref(),
    received_at: i64 = |(_, row)| row.received_at,
});

impl Effects {
    fn rows(&self) -> impl ExactSizeIterator<Item = &Effect> {
        self.0.core().effects_in(self.0.slice()).iter()
    }
}

impl Achievements {
    fn rows(&self) -> impl ExactSizeIterator<Item = (usize, &Achievement)> {
        self.0.core().achievements_in(self.0.slice())
    }
}

impl Exits {
    fn rows(&self) -> impl ExactSizeIterator<Item = (usize, &Exit)> {
        self.0.core().exits_in(self.0.slice())
    }
}
