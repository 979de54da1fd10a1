//! Matches an event with the goals of its contact's enrollments (E1 to E4).

use std::cell::OnceCell;

use uuid::Uuid;

use super::outcome::{GoalFact, Outcome};
use super::record::{Recorder, microseconds};
use super::stored::missed::Run;
use super::turn::{self, Turn};
use super::used::JudgedEvent;
use super::{Evaluation, Located};
use crate::config::{Products, Workflow};
use crate::decode::EventValues;
use crate::event::{Event, Fact, MatchValues};
use crate::index::Group;
use crate::proposal::{EntryRef, Status};

/// The state of matching one event with the goals of its contact.
pub(super) struct Match<'m, 'e, 'a> {
    pub event: &'m Event<'a>,
    pub fact: GoalFact<'e, 'a>,
    products: Products<'e>,
    /// Listed tags that each workflow is compared with.
    tags: u64,
    entry: EntryRef<'m>,
    pub recorder: Recorder<'m, 'a>,
    pub at: Located,
    /// The fields of the event, read for the first goal that compares them (E17).
    values: OnceCell<EventValues<'a>>,
}

impl<'m, 'a> Match<'m, '_, 'a> {
    pub(super) fn judged(&mut self) -> JudgedEvent<'m, 'a> {
        JudgedEvent {
            entry: self.entry,
            event: self.event,
            key: self.recorder.event_key(),
        }
    }

    /// Those of the matched goals whose values the enrollment and the event have in common.
    #[inline(never)]
    pub fn of_run(
        &self,
        config: &Workflow,
        matched: &[Uuid],
        run: Option<&MatchValues>,
        turn: &mut Turn,
    ) -> Vec<Uuid> {
        let values = self.values.get_or_init(|| {
            turn.spend_bytes(self.event.data.bytes().len());
            EventValues::of(self.event.data)
        });
        config.of_run(matched, run, values)
    }
}

impl<'i> Evaluation<'i> {
    /// Evaluates an event against every active enrollment of its contact (E1). False if some of
    /// them must wait.
    #[inline]
    pub(super) fn match_goals<'e, 'a>(
        &mut self,
        entry: EntryRef<'_>,
        event: &'e Event<'a>,
        fact: GoalFact<'e, 'a>,
        at: Located,
    ) -> bool {
        if at.contact.is_none()
            && self.overlay.effects.is_empty()
            && !self.may_meet_ended(at.tenant, at.hash, microseconds(entry.entry.ms))
        {
            return true;
        }
        match &event.fact {
            Fact::PaymentCompleted { line_items, .. } => {
                self.turn.spend_line_items(line_items.len());
            }
            Fact::TagAdded { tags, .. } if !tags.is_empty() => {
                return self.match_listed_tags(entry, event, fact, at);
            }
            _ => {}
        }
        self.match_fact(entry, event, fact, at)
    }

    /// The same for this fact of the event. Inlined although lists of tags call it, too: a
    /// separate call costs each event 10 ns.
    #[inline(always)]
    pub(super) fn match_fact<'e, 'a>(
        &mut self,
        entry: EntryRef<'_>,
        event: &Event<'a>,
        fact: GoalFact<'e, 'a>,
        at: Located,
    ) -> bool {
        let mut case = Match {
            event,
            fact,
            products: fact.products(),
            tags: fact.tags(),
            entry,
            recorder: Recorder::new(entry.entry.ms, event, fact.goal_type),
            at,
            values: OnceCell::new(),
        };
        let is_complete = match at.contact {
            Some(contact) if self.index.is_high_fanout(contact) => {
                self.match_groups(contact, &mut case)
            }
            Some(contact) => self.match_chain(contact, &mut case),
            None => true,
        };
        is_complete && self.match_proposed(&mut case) && self.match_ended(&mut case)
    }

    /// Matches the enrollments of a contact one by one.
    #[inline]
    fn match_chain(&mut self, contact: u32, case: &mut Match<'_, '_, '_>) -> bool {
        for (number, enrollment) in self.index.of_contact(contact) {
            let Some(config) = self.listening(enrollment.workflow(), case.fact) else {
                continue;
            };
            if case.fact.time_us < enrollment.enrolled_at {
                continue;
            }
            let matched = self.judge(config, case);
            if !matched.is_empty() && self.meet(number, config, &matched, case) {
                return false;
            }
        }
        true
    }

    /// Matches the enrollments of a high-fanout contact: the criteria once for each workflow,
    /// and the outcome once for each group. Visits only enrollments that it changes, or that an
    /// earlier event of the batch has changed; and if goals compare values of enrollments (E17),
    /// all that match otherwise.
    fn match_groups(&mut self, contact: u32, case: &mut Match<'_, '_, '_>) -> bool {
        let mut judged = None;
        for group in self.index.groups(contact) {
            let Group { workflow, met, .. } = group;
            let Some(config) = self.listening(workflow, case.fact) else {
                continue;
            };
            let matched = match judged {
                Some((of, matched)) if of == workflow => matched,
                _ => self.judge(config, case),
            };
            if !matched.is_empty() && !Outcome::of(config, &matched, met).changes_nothing() {
                for number in group.until(case.fact.time_us) {
                    if self.meet(number, config, &matched, case) {
                        return false;
                    }
                }
            }
            judged = Some((workflow, matched));
        }
        true
    }

    /// Matches the enrollments that earlier events of the batch start.
    fn match_proposed(&mut self, case: &mut Match<'_, '_, '_>) -> bool {
        for number in self.proposed_for(case.event, case.at) {
            self.turn.spend(turn::JUDGED);
            let effect = &self.overlay.effects[number];
            if !effect.is_new()
                || effect.is_repeat
                || effect.status != Status::Active
                || case.fact.time_us < effect.enrolled_at
            {
                continue;
            }
            let workflow = self.index.workflow(&effect.tenant_id, &effect.workflow_id);
            let config = workflow.and_then(|workflow| self.listening(workflow, case.fact));
            let Some(config) = config else {
                continue;
            };
            let mut matched = case.fact.matched(config, &case.products);
            if config.compares_values && !matched.is_empty() {
                let values = effect.match_values.as_ref();
                matched = case.of_run(config, &matched, values, &mut self.turn);
            }
            let outcome = Outcome::of(config, &matched, &effect.met);
            if outcome.changes_nothing() || self.is_excluded_for_new(number, case.judged()) {
                continue;
            }
            let is_spent = if config.is_active {
                self.record(number, outcome, case)
            } else {
                let key = case.recorder.event_key();
                self.miss(Run::New(number), case.entry, case.event, key)
            };
            if is_spent {
                return false;
            }
        }
        true
    }

    /// The configuration of a workflow, if it listens to the event.
    #[inline]
    pub(super) fn listening(&self, workflow: u32, fact: GoalFact<'_, '_>) -> Option<&'i Workflow> {
        let index = self.index;
        let listens = index.listens(workflow, fact.goal_type.bit());
        listens.then(|| index.config(workflow)).flatten()
    }

    /// The goals of a workflow that the event matches.
    #[inline]
    pub(super) fn judge(&mut self, config: &Workflow, case: &Match<'_, '_, '_>) -> Vec<Uuid> {
        self.turn.spend(turn::JUDGED + case.tags);
        case.fact.matched(config, &case.products)
    }

    /// Adds the outcome of an event that matches these goals for an enrollment of the index.
    /// True if there was one, and the event has used the turn.
    fn meet(
        &mut self,
        number: u32,
        config: &Workflow,
        matched: &[Uuid],
        case: &mut Match<'_, '_, '_>,
    ) -> bool {
        self.turn.spend(turn::JUDGED);
        if self.missed.is_replay()
            && !self.is_replayed(&case.event.tenant, number, case.recorder.event_key())
        {
            return false;
        }
        let effect = match self.overlay.on_record(number) {
            Some(effect) if self.overlay.effects[effect].status != Status::Active => return false,
            effect => effect,
        };
        let new_goals = effect.map_or(&[][..], |effect| &self.overlay.effects[effect].met);
        let met = [self.index.met(number), new_goals].concat();
        let outcome = if config.compares_values {
            let values = self.index.match_values(number);
            let of_run = case.of_run(config, matched, values, &mut self.turn);
            Outcome::of(config, &of_run, &met)
        } else {
            Outcome::of(config, matched, &met)
        };
        let received_ms = case.entry.entry.ms;
        if outcome.changes_nothing()
            || (!config.is_active && self.index.has_missed(number, received_ms))
        {
            return false;
        }
        let excludes = self.index.enrollment(number).excludes() || !self.later_merges.is_empty();
        if excludes && self.is_excluded(number, case.judged()) {
            return false;
        }
        if !config.is_active {
            let key = case.recorder.event_key();
            return self.miss(Run::Indexed(number), case.entry, case.event, key);
        }
        let effect = effect.unwrap_or_else(|| {
            let event = case.event;
            self.add_update(number, &event.tenant, &event.contact, case.at.hash)
        });
        self.record(effect, outcome, case)
    }

    /// Adds an outcome to an effect. True if the event has used the turn.
    fn record(&mut self, effect: usize, outcome: Outcome, case: &mut Match<'_, '_, '_>) -> bool {
        self.turn.spend(turn::ACHIEVED);
        self.use_event(effect, case.judged());
        let effects = &mut self.overlay.effects;
        case.recorder
            .record(&mut self.proposal, effects, effect, outcome);
        self.turn.is_spent()
    }
}
