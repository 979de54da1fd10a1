//! Explains which goals the state of a contact meets when an enrollment starts (E22).

use serde_json::{Value, json};
use uuid::Uuid;

use crate::config::{Goal, Logic};
use crate::evaluate::outcome::Outcome;
use crate::evaluate::stored::known_contacts::KnownState;
use crate::event::{Event, Fact, MatchValues};
use crate::index::Index;

/// The enrollment that an event would start, as in `explain`. `None` if it starts none, or no goal of
/// its workflow is checked then. Without `state`, the contact has none.
pub fn would_start(
    index: &Index,
    clock_skew_us: i64,
    event: &Event<'_>,
    state: Option<&KnownState>,
) -> Option<Value> {
    let Fact::EnrollmentStarted {
        workflow_id,
        enrollment_id,
        enrolled_at_us,
        match_values,
        ..
    } = &event.fact
    else {
        return None;
    };
    let config = index.checks_on_enrollment(&event.tenant, workflow_id)?;
    let contact = index.contact(&event.tenant, &event.contact);
    if contact.is_some_and(|contact| index.find_enrollment(contact, enrollment_id).is_some()) {
        return None;
    }
    let enrolled_at = enrolled_at_us.unwrap_or(event.time_us);
    let time = enrolled_at.saturating_add(clock_skew_us);
    let facts = state.map_or_else(Vec::new, KnownState::facts);
    let matched = config.matched_by_state(time, &facts);
    let matched: Vec<Uuid> = matched.into_iter().map(|(goal, _)| goal).collect();
    let outcome = Outcome::of(config, &matched, &[]);
    let goal = |goal: &Goal| {
        let is_matched = matched.contains(&goal.id);
        let achieved = outcome.new_goals.contains(&goal.id);
        json!({
            "goal_id": goal.id.to_string(),
            "goal_type": goal.criteria.goal_type().name(),
            "matched": is_matched,
            "achieved": achieved,
            "reason": match (is_matched, achieved) {
                (_, true) => None,
                (true, false) => Some("an older goal completes it"),
                (false, false) => Some(mismatch(goal, time)),
            },
        })
    };
    let goals: Vec<Value> = config.goals.iter().map(goal).collect();
    Some(json!({
        "enrollment_id": enrollment_id,
        "starts": true,
        "excludes": false,
        "workflow_id": workflow_id,
        "enrolled_at": enrolled_at,
        "match": match_values.as_ref().map(MatchValues::to_value),
        "goal_logic": match config.logic {
            Logic::Any => "any",
            Logic::All => "all",
        },
        "matched": !matched.is_empty(),
        "completes": outcome.completed_goals.is_some(),
        "reason": null,
        "goals": goals,
    }))
}

/// Why the state of the contact does not meet a goal.
fn mismatch(goal: &Goal, time: i64) -> &'static str {
    if !goal.is_active {
        return "goal inactive";
    }
    if !goal.check_on_enrollment {
        return "not checked on enrollment";
    }
    match goal.effective_from {
        None => "never activated",
        Some(from) if time < from => "before effective_from",
        Some(_) => "the contact is not in this state",
    }
}
