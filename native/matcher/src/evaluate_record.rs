//! The records that a match leaves: achievements and an exit.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::criteria::GoalType;
use crate::evaluate::Outcome;
use crate::event::{Event, Text};
use crate::ids_derived::{achievement_id, exit_id};
use crate::proposal::{Achievement, Effect, Exit, Proposal, Status};
use crate::time::LAST_US;

/// Writes the records of one event. Its JSON is made once, when it first matches.
#[derive(Debug)]
pub struct Record<'e, 'a> {
    /// When the stream took the event, in milliseconds.
    taken_ms: u64,
    event: &'e Event<'a>,
    goal_type: GoalType,
    json: Option<(Arc<str>, Arc<str>)>,
}

impl<'e, 'a> Record<'e, 'a> {
    pub fn new(taken_ms: u64, event: &'e Event<'a>, goal_type: GoalType) -> Record<'e, 'a> {
        Record {
            taken_ms,
            event,
            goal_type,
            json: None,
        }
    }

    /// Write what became of the enrollment of the effect with this number.
    pub fn write(
        &mut self,
        proposal: &mut Proposal,
        effects: &mut [Effect],
        number: usize,
        outcome: Outcome,
    ) {
        let event = self.event;
        let effect = &mut effects[number];
        for &goal_id in &outcome.newly {
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
                achieved_at: event.time_us,
                trigger_event: trigger_event.clone(),
                metadata: metadata.clone(),
            });
        }
        if let Some(goal_ids) = outcome.completed {
            effect.status = Status::CompletedGoal;
            effect.ended_at = Some(event.time_us);
            proposal.exits.push(Exit {
                effect: number,
                id: exit_id(&effect.tenant_id, &effect.enrollment_id),
                goal_type: self.goal_type,
                goal_ids,
                achieved_at: event.time_us,
                event_id: (*event.id).into(),
                event_source: (*event.source).into(),
                event_type: (*event.name).into(),
                traceparent: event.traceparent.as_deref().map(Into::into),
                received_at: microseconds(self.taken_ms),
            });
        }
        effect.met.extend(outcome.newly);
    }
}

/// Where the event came from, as JSON.
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

/// A producer may choose the id of an entry, and so any number here: what lies beyond the year
/// 9999, other languages' calendars cannot hold, and is taken for its end.
fn microseconds(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds)
        .unwrap_or(i64::MAX)
        .saturating_mul(1000)
        .min(LAST_US)
}
