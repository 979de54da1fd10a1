//! The rows that a match adds to the proposal: achievements and an exit.

use std::sync::Arc;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::outcome::Outcome;
use crate::buffer::Entry;
use crate::config::GoalType;
use crate::event::time::LAST_US;
use crate::event::{Event, Text};
use crate::ids::derived::{achievement_id, event_key, exit_id};
use crate::proposal::{Achievement, Effect, Exit, Proposal, Status};

/// Records the matches of one event. The event's JSON is built once, on its first match.
#[derive(Debug)]
pub struct Recorder<'e, 'a> {
    /// When Redis received the stream entry, in milliseconds since the epoch.
    received_ms: u64,
    event: &'e Event<'a>,
    goal_type: GoalType,
    achieved_at: i64,
    json: Option<(Arc<str>, Arc<str>)>,
    key: Option<Uuid>,
}

impl<'e, 'a> Recorder<'e, 'a> {
    pub fn new(received_ms: u64, event: &'e Event<'a>, goal_type: GoalType) -> Recorder<'e, 'a> {
        Recorder::at(received_ms, event, goal_type, event.time_us)
    }

    /// A recorder of matches at another time than the event's.
    pub fn at(
        received_ms: u64,
        event: &'e Event<'a>,
        goal_type: GoalType,
        achieved_at: i64,
    ) -> Recorder<'e, 'a> {
        Recorder {
            received_ms,
            event,
            goal_type,
            achieved_at,
            json: None,
            key: None,
        }
    }

    /// Identifies the event within its tenant. Computed once, for the first match.
    pub fn event_key(&mut self) -> Uuid {
        let event = self.event;
        *self
            .key
            .get_or_insert_with(|| event_key(&event.source, &event.id))
    }

    /// When Redis received the stream entry, in microseconds.
    pub fn received_at(&self) -> i64 {
        microseconds(self.received_ms)
    }

    /// Adds an outcome to the effect with this number, and its achievements and exit to the
    /// proposal.
    pub fn record(
        &mut self,
        proposal: &mut Proposal,
        effects: &mut [Effect],
        number: usize,
        outcome: Outcome,
    ) {
        let event = self.event;
        let effect = &mut effects[number];
        for &goal_id in &outcome.new_goals {
            let (trigger_event, metadata) = self
                .json
                .get_or_insert_with(|| (event.data.to_json().into(), metadata(event)));
            proposal.achievements.push(Achievement {
                effect: number,
                id: achievement_id(
                    &effect.tenant_id,
                    &effect.enrollment_id,
                    &goal_id.to_string(),
                ),
                goal_id,
                goal_type: self.goal_type,
                achieved_at: self.achieved_at,
                trigger_event: trigger_event.clone(),
                metadata: metadata.clone(),
            });
        }
        if let Some(goal_ids) = outcome.completed_goals {
            effect.status = Status::CompletedGoal;
            effect.ended_at = Some(self.achieved_at);
            proposal.exits.push(Exit {
                effect: number,
                id: exit_id(&effect.tenant_id, &effect.enrollment_id),
                goal_type: self.goal_type,
                goal_ids,
                achieved_at: self.achieved_at,
                event_id: (*event.id).into(),
                event_source: (*event.source).into(),
                event_type: (*event.name).into(),
                traceparent: event.traceparent.as_deref().map(Into::into),
                received_at: microseconds(self.received_ms),
            });
        }
        effect.met.extend(outcome.new_goals);
    }
}

/// The event's attributes as JSON.
fn metadata(event: &Event<'_>) -> Arc<str> {
    let mut fields = Map::new();
    let mut put = |key: &str, text: &Text<'_>| {
        fields.insert(key.into(), Value::String(text.to_string()));
    };
    put("event_id", &event.id);
    put("source", &event.source);
    put("type", &event.name);
    put("time", &event.time);
    if let Some(traceparent) = &event.traceparent {
        put("traceparent", traceparent);
    }
    Value::Object(fields).to_string().into()
}

/// When Redis received an entry, in microseconds: those of one millisecond differ by their sequence,
/// up to the thousandth. The order of events and merges that name different contacts.
pub(super) fn receipt(entry: Entry<'_>) -> i64 {
    let within = entry.seq.min(999) as i64;
    (microseconds(entry.ms) + within).min(LAST_US)
}

/// Milliseconds in microseconds, at most the end of the year 9999. A producer can choose the
/// id of a stream entry and thus any number, but the date types of Python and others end there.
pub(super) fn microseconds(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds)
        .unwrap_or(i64::MAX)
        .saturating_mul(1000)
        .min(LAST_US)
}
