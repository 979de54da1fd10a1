//! Explains why an event matches a goal, or why not.

mod start;
use std::borrow::Cow;

use serde_json::{Value, json};
use uuid::Uuid;

use super::outcome::{GoalFact, Outcome};
use super::stored::known_contacts::{KnownState, begins_projection, without_old_tags};
use crate::config::{Goal, Logic, Products, Workflow};
use crate::decode::EventValues;
use crate::event::{Event, Fact, MatchValues};
use crate::ids::derived::event_key;
use crate::index::Index;

const HAD_TAG: &str = "the contact had the tag before";

/// The facts in Postgres about the event.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoredFacts<'s> {
    /// The enrollments for which the event does not count (enrollment id, reason).
    pub excluded: &'s [(String, String)],
    /// The positions of the listed tags that the contact had before (E16).
    pub old_tags: &'s [u32],
    /// The state of the contact, if the event starts an enrollment (E22).
    pub state: Option<&'s KnownState>,
}

/// Evaluates an event against each enrollment of its contact and each goal of those workflows
/// without changing anything. Returns JSON: `{"event": …, "reason": … | null, "enrollments":
/// [{…, "matched", "completes", "reason", "goals": [{…, "matched", "achieved", "reason"}]}]}`.
/// A goal can be matched but not achieved: because it was met before, or because an older goal
/// completes the enrollment (E4); or because the event does not count for the enrollment (E11), for
/// the reason in `excluded` (enrollment id, reason). A `reason` is null if nothing prevents a match.
/// An enrollment that the event would start is among them if its goals are checked then (E22).
/// `event_key`, `excludes` of an enrollment and `asks_contact` say what Postgres must be asked about.
pub fn explain(
    index: &Index,
    clock_skew_us: i64,
    event: &Event<'_>,
    stored: StoredFacts<'_>,
) -> String {
    let new = without_old_tags(&event.fact, stored.old_tags);
    let new = new.as_ref().unwrap_or(&event.fact);
    let fact = GoalFact::of(event, clock_skew_us).map(|fact| fact.with(new));
    let products = Products::of(&event.fact);
    let start = start::would_start(index, clock_skew_us, event, stored.state);
    let values = EventValues::of(event.data);
    let contact = index.contact(&event.tenant, &event.contact);
    let enrollments: Vec<Value> = contact
        .into_iter()
        .flat_map(|contact| index.of_contact(contact))
        .map(|(number, enrollment)| {
            let workflow = enrollment.workflow();
            let config = index.config(workflow);
            let (enrolled_at, met) = (enrollment.enrolled_at, index.met(number));
            let run = index.match_values(number);
            let id = index.enrollment_id(number);
            let exclusion = stored.excluded.iter().find(|(of, _)| *of == id);
            let case = Case {
                exclusion: exclusion.map(|(_, reason)| reason.as_str()),
                event,
                new,
                time_us: event.time_us.saturating_add(clock_skew_us),
                enrolled_at,
                met,
                outcome: config.zip(fact).and_then(|(config, fact)| {
                    let counts =
                        config.is_active && fact.time_us >= enrolled_at && exclusion.is_none();
                    counts.then(|| {
                        let matched = fact.matched(config, &products);
                        let of_run = config.of_run(&matched, run, &values);
                        Outcome::of(config, &of_run, met)
                    })
                }),
                products: &products,
                run,
                values: &values,
            };
            let goals = config.map_or(&[][..], |config| &config.goals);
            let goals: Vec<Value> = goals.iter().map(|goal| case.goal(config, goal)).collect();
            json!({
                "enrollment_id": id,
                "excludes": enrollment.excludes(),
                "workflow_id": index.workflow_id(workflow),
                "enrolled_at": enrolled_at,
                "match": run.map(MatchValues::to_value),
                "goal_logic": config.map(|config| match config.logic {
                    Logic::Any => "any",
                    Logic::All => "all",
                }),
                "matched": goals.iter().any(|goal| goal["matched"] == true),
                "completes": case.completes(),
                "reason": workflow_reason(config),
                "goals": goals,
            })
        })
        .chain(start.clone())
        .collect();
    let reason = if start.is_some() {
        None
    } else if fact.is_none() {
        Some("other event type")
    } else if enrollments.is_empty() {
        Some("not enrolled")
    } else {
        None
    };
    json!({
        "event": {
            "id": event.id,
            "type": event.name,
            "tenant_id": event.tenant,
            "contact_id": event.contact,
            "time": event.time,
        },
        "event_key": event_key(&event.source, &event.id).to_string(),
        "asks_contact": start.is_some() || begins_projection(&event.fact),
        "reason": reason,
        "enrollments": enrollments,
    })
    .to_string()
}

fn workflow_reason(config: Option<&Workflow>) -> Option<&'static str> {
    match config {
        None => Some("workflow unknown"),
        Some(config) if !config.is_active => Some("workflow inactive"),
        Some(config) if config.goals.is_empty() => Some("no goals"),
        Some(_) => None,
    }
}

/// An event and one enrollment.
struct Case<'p, 'a> {
    event: &'a Event<'a>,
    /// The event's fact, without tags that are not new.
    new: &'p Fact<'a>,
    /// The event's time plus the allowed clock skew.
    time_us: i64,
    enrolled_at: i64,
    met: &'a [Uuid],
    /// Why the event does not count for the enrollment, for any goal.
    exclusion: Option<&'a str>,
    /// `None` if the event cannot match a goal of the workflow.
    outcome: Option<Outcome>,
    /// The event's.
    products: &'p Products<'a>,
    /// The enrollment's.
    run: Option<&'p MatchValues>,
    /// The event's.
    values: &'p EventValues<'a>,
}

impl Case<'_, '_> {
    fn goal(&self, config: Option<&Workflow>, goal: &Goal) -> Value {
        let mismatch = self.mismatch(config, goal);
        let outcome = self.outcome.as_ref();
        let achieved = outcome.is_some_and(|outcome| outcome.new_goals.contains(&goal.id));
        let not_achieved = || match achieved {
            true => None,
            false if self.exclusion.is_some() => self.exclusion.map(Cow::Borrowed),
            false if self.met.contains(&goal.id) => Some("already met".into()),
            false => Some("an older goal completes it".into()),
        };
        json!({
            "goal_id": goal.id.to_string(),
            "goal_type": goal.criteria.goal_type().name(),
            "matched": mismatch.is_none(),
            "achieved": achieved,
            "reason": mismatch.or_else(not_achieved),
        })
    }

    fn completes(&self) -> bool {
        let outcome = self.outcome.as_ref();
        outcome.is_some_and(|outcome| outcome.completed_goals.is_some())
    }

    /// Why the event does not match the goal; `None` if it does.
    fn mismatch(&self, config: Option<&Workflow>, goal: &Goal) -> Option<Cow<'static, str>> {
        if let Some(reason) = workflow_reason(config) {
            return Some(reason.into());
        }
        if !goal.is_active {
            return Some("goal inactive".into());
        }
        if goal.criteria.check(self.new, self.products).is_err() {
            // If all tags of the list are old, only the whole list has a tag to compare.
            let whole = goal.criteria.check(&self.event.fact, self.products);
            return Some(whole.err().unwrap_or(HAD_TAG).into());
        }
        if let Err((reason, name)) = goal.check_values(self.run, self.values) {
            return Some(format!("{reason} {name}").into());
        }
        if self.time_us < self.enrolled_at {
            return Some("before enrollment".into());
        }
        match goal.effective_from {
            None => Some("never activated".into()),
            Some(from) if self.time_us < from => Some("before effective_from".into()),
            Some(_) => None,
        }
    }
}
