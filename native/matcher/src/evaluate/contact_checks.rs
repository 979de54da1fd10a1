//! Goals that depend on what a contact had before: the new tags of a list (E16), and the state of the
//! contact when an enrollment starts (E22).
//!
//! Memory has no projection of contacts. An evaluation assumes that all tags are new and that a
//! contact has none, and asks about the events and the starts whose result may depend on it. It is
//! repeated with the answers. The rest costs nothing.

use uuid::Uuid;

use super::outcome::{GoalFact, Outcome};
use super::record::Recorder;
use super::stored::known_contacts::without_old_tags;
use super::turn;
use super::{Evaluation, Located};
use crate::config::GoalType;
use crate::event::Event;
use crate::ids::derived::event_key;
use crate::proposal::{EntryRef, Proposal, StateCheck, Status, TagCheck};

impl Evaluation<'_> {
    /// Matches an event with a list of tags (E16). False if some enrollments must wait.
    #[cold]
    pub(super) fn match_listed_tags<'a>(
        &mut self,
        entry: EntryRef<'_>,
        event: &Event<'a>,
        fact: GoalFact<'_, 'a>,
        at: Located,
    ) -> bool {
        let key = event_key(&event.source, &event.id);
        let new = without_old_tags(&event.fact, self.known.old_tags(&event.tenant, key));
        let fact = new.as_ref().map_or(fact, |new| fact.with(new));
        let counted =
            |proposal: &Proposal| (proposal.used_events.len(), proposal.missed_runs.len());
        let before = counted(&self.proposal);
        let is_complete = self.match_fact(entry, event, fact, at);
        // With fewer tags, the event would meet fewer goals. So the answer matters only if it counts,
        // or would count for a paused workflow.
        if counted(&self.proposal) != before {
            let check = TagCheck {
                event: self.contact_event(entry, event),
                contact_events: self.proposal.contact_events.len(),
                deletions: self.proposal.deletions.len(),
            };
            self.proposal.tag_checks.push(check);
        }
        is_complete
    }

    /// Completes the goals that the contact's state meets when the enrollment with this number
    /// starts (E22).
    pub(super) fn check_on_enrollment(
        &mut self,
        entry: EntryRef<'_>,
        event: &Event<'_>,
        number: usize,
    ) {
        let index = self.index;
        let effect = &self.overlay.effects[number];
        let config = index.checks_on_enrollment(&effect.tenant_id, &effect.workflow_id);
        let Some(config) = config.filter(|_| effect.status == Status::Active) else {
            return;
        };
        self.turn.spend(turn::JUDGED);
        let key = (&*effect.tenant_id, &*effect.enrollment_id);
        let Some(&state) = self.known.states.get(&key) else {
            self.proposal.state_checks.push(StateCheck {
                tenant_id: effect.tenant_id.clone(),
                contact_id: effect.contact_id.clone(),
                enrollment_id: effect.enrollment_id.clone(),
                started_by: effect.started_by,
                contact_events: self.proposal.contact_events.len(),
                deletions: self.proposal.deletions.len(),
            });
            return;
        };
        self.turn.spend(state.tags.len() as u64);
        let enrolled_at = effect.enrolled_at;
        let time = enrolled_at.saturating_add(self.rules.clock_skew_us);
        let matched = config.matched_by_state(time, &state.facts());
        let goals: Vec<Uuid> = matched.iter().map(|(goal, _)| *goal).collect();
        let outcome = Outcome::of(config, &goals, &[]);
        if outcome.changes_nothing() {
            return;
        }
        self.turn.spend(turn::ACHIEVED);
        let mut record = |goal_type: GoalType, outcome: Outcome| {
            let received_ms = entry.entry.ms;
            let mut recorder = Recorder::at(received_ms, event, goal_type, enrolled_at);
            let effects = &mut self.overlay.effects;
            recorder.record(&mut self.proposal, effects, number, outcome);
        };
        for (goal, goal_type) in &matched {
            if outcome.new_goals.contains(goal) {
                record(*goal_type, Outcome::meets(*goal));
            }
        }
        if let (Some(goals), Some((_, goal_type))) = (outcome.completed_goals, matched.first()) {
            record(*goal_type, Outcome::completes(goals));
        }
    }
}
