//! Events that meet goals of enrollments that have ended (E18).
//!
//! Memory has active enrollments only, and a table of the contacts that may have ended ones. If an
//! event of such a contact meets the criteria of a workflow that watches them, Postgres is asked,
//! and the batch is evaluated again with the answer. Active enrollments come first: an event that
//! has counted in a workflow counts for no ended enrollment there. Of these, the latest one for
//! which it can count gets it.

use std::mem;

use uuid::Uuid;

use super::Evaluation;
use super::goals::Match;
use super::outcome::Outcome;
use super::record::receipt;
use super::stored::ended::WatchedRun;
use super::stored::later_merges::next;
use super::stored::used_events::runs;
use super::turn;
use super::used::JudgedEvent;
use crate::config::Workflow;
use crate::proposal::{DoubtfulStart, Effect, EndedCheck};
use crate::route::slot_of;

impl Evaluation<'_> {
    /// Whether an event may count for an ended enrollment of its contact.
    #[inline]
    pub(super) fn may_meet_ended(&self, tenant: Option<u32>, hash: u64, received_at: i64) -> bool {
        tenant.is_some_and(|tenant| self.index.ended().may_have(tenant, hash, received_at))
    }

    /// Matches an event with the goals of the ended enrollments of its contact. False if some of them
    /// must wait.
    #[inline]
    pub(super) fn match_ended(&mut self, case: &mut Match<'_, '_, '_>) -> bool {
        let (at, received_at) = (case.at, case.recorder.received_at());
        if !self.ended.has_ends && !self.may_meet_ended(at.tenant, at.hash, received_at) {
            return true;
        }
        self.match_workflows(case)
    }

    /// The same, in each workflow that watches ended enrollments.
    #[cold]
    #[inline(never)]
    fn match_workflows(&mut self, case: &mut Match<'_, '_, '_>) -> bool {
        let index = self.index;
        let Some(tenant) = case.at.tenant.filter(|_| !self.missed.is_replay()) else {
            return true; // an enrollment that has ended missed nothing (E19)
        };
        let mut cost = turn::ASKED;
        for &workflow in index.ended().workflows(tenant) {
            self.turn.spend(turn::JUDGED);
            let config = self.listening(workflow, case.fact);
            let Some(config) = config.filter(|config| config.is_active) else {
                continue;
            };
            let matched = self.judge(config, case);
            if matched.is_empty() {
                continue;
            }
            let workflow = index.workflow_id(workflow);
            if self.match_workflow(workflow, config, &matched, case, &mut cost) {
                return false;
            }
        }
        true
    }

    /// The same, in one workflow. True if the event has used the turn, or must wait for an answer.
    /// `cost`: that of a question; Postgres reads the enrollments of the contact once for an event.
    fn match_workflow(
        &mut self,
        workflow: &str,
        config: &Workflow,
        matched: &[Uuid],
        case: &mut Match<'_, '_, '_>,
        cost: &mut u64,
    ) -> bool {
        let (key, event) = (case.recorder.event_key(), case.event);
        let of_contact = (&*event.tenant, &*event.contact, workflow);
        if self.has_counted(workflow, key, case) {
            return false;
        }
        let received_at = case.recorder.received_at();
        // The event happened and arrived while the enrollment was watched.
        let time = received_at.max(event.time_us);
        let Some(first) = config.watched_since(matched, time, self.index.late_us()) else {
            return false;
        };
        let mut ended = self.ended_in_batch(workflow, case);
        if ended.is_empty() && !self.may_meet_ended(case.at.tenant, case.at.hash, received_at) {
            return false;
        }
        let answer = self.ended.answer(of_contact, key);
        if answer.is_none() && self.ended.defers && self.proposal.events > 0 {
            return true;
        }
        // An answered question has its costs too: otherwise, each evaluation of a batch would ask
        // as much as the first.
        self.turn.spend(mem::replace(cost, turn::ASKED_MORE));
        let check = answer.is_none().then_some(self.proposal.ended_checks.len());
        match answer {
            Some((true, _)) => return false,
            Some((false, stored)) => {
                self.turn.spend(turn::RETURNED * stored.len() as u64);
                ended.extend(stored.iter().cloned());
            }
            None => self.proposal.ended_checks.push(EndedCheck {
                tenant_id: of_contact.0.into(),
                contact_id: of_contact.1.into(),
                workflow_id: workflow.into(),
                event: key,
                time: case.fact.time_us,
                first,
                counts: false,
            }),
        }
        ended.sort_by(|a, b| {
            let order = |run: &WatchedRun| (run.ended_at, run.enrolled_at);
            order(b)
                .cmp(&order(a))
                .then_with(|| a.enrollment_id.cmp(&b.enrollment_id))
        });
        for run in &ended {
            if let Some(outcome) = self.outcome_after_end(run, config, matched, case) {
                if let Some(check) = check {
                    self.proposal.ended_checks[check].counts = true;
                }
                self.record_after_end(run, workflow, outcome, case);
                return self.turn.is_spent();
            }
        }
        false
    }

    /// Whether the batch has counted the event in this workflow. If that depends on starts that may be
    /// repeats, they are doubtful.
    fn has_counted(&mut self, workflow: &str, key: Uuid, case: &Match<'_, '_, '_>) -> bool {
        let used = self.used.in_batch.get(&runs(case.event, workflow));
        if used.is_none_or(|used| !used.contains(&key)) {
            return false;
        }
        for number in self.proposed_for(case.event, case.at) {
            let effect = &self.overlay.effects[number];
            if *effect.workflow_id == *workflow && !effect.met.is_empty() {
                self.doubt(number);
            }
        }
        true
    }

    /// If an effect is a start that Postgres may have, the result depends on it.
    fn doubt(&mut self, effect: usize) {
        let effect = &self.overlay.effects[effect];
        if effect.is_new() && !effect.is_repeat {
            self.proposal.doubtful_starts.push(DoubtfulStart {
                tenant_id: effect.tenant_id.clone(),
                enrollment_id: effect.enrollment_id.clone(),
                contact_id: effect.contact_id.clone(),
                enrolled_at: effect.began_at(),
            });
        }
    }

    /// The enrollments of the contact in a workflow that earlier events of the batch have ended.
    fn ended_in_batch(&mut self, workflow: &str, case: &mut Match<'_, '_, '_>) -> Vec<WatchedRun> {
        let (index, event, judged) = (self.index, case.event, case.judged());
        let mut ended = Vec::new();
        for number in self.proposed_for(event, case.at) {
            self.turn.spend(turn::JUDGED);
            let effect = &self.overlay.effects[number];
            if *effect.workflow_id != *workflow || effect.is_repeat || !effect.may_be_watched() {
                continue;
            }
            let record = effect.record;
            if record.is_some_and(|record| self.is_of_other_run(record, judged)) {
                continue;
            }
            let effect = &self.overlay.effects[number];
            let (met, values, merges) = match record {
                // Postgres has compared the merges.
                Some(record) => (
                    index.met(record),
                    index.match_values(record),
                    self.later_merges.of(judged.entry.buffer),
                ),
                None => (&[][..], effect.match_values.as_ref(), &*effect.merges),
            };
            ended.push(WatchedRun {
                enrollment_id: effect.enrollment_id.to_string(),
                status: effect.status,
                enrolled_at: effect.enrolled_at,
                ended_at: effect.ended_at.unwrap_or(effect.enrolled_at),
                began_at: effect.began_at(),
                met: [met, &effect.met].concat(),
                match_values: values.cloned(),
                started_by: effect.started_by,
                merges: merges.to_vec(),
            });
            self.doubt(number);
        }
        ended
    }

    /// Whether the event does not count for an enrollment of the index, as for active ones.
    fn is_of_other_run(&mut self, record: u32, judged: JudgedEvent<'_, '_>) -> bool {
        let excludes = self.index.enrollment(record).excludes() || !self.later_merges.is_empty();
        excludes && self.is_excluded(record, judged)
    }

    /// The outcome of the event for an ended enrollment. `None` if nothing changes.
    fn outcome_after_end(
        &mut self,
        run: &WatchedRun,
        config: &Workflow,
        matched: &[Uuid],
        case: &mut Match<'_, '_, '_>,
    ) -> Option<Outcome> {
        let JudgedEvent { entry, event, key } = case.judged();
        let next_merge = self.later_merges.of(entry.buffer).first().copied();
        if case.fact.time_us < run.enrolled_at
            || run.started_by == Some(key)
            || next(&run.merges, receipt(entry.entry)) != next_merge
            || self.deletions.cover(event, run.began_at)
        {
            return None;
        }
        let time = case.recorder.received_at().max(event.time_us);
        let times = (run.enrolled_at, run.ended_at);
        let mut matched = config.watching(matched, time, times, self.index.late_us());
        if config.compares_values && !matched.is_empty() {
            let values = run.match_values.as_ref();
            matched = case.of_run(config, &matched, values, &mut self.turn);
        }
        let of_run = ((*event.tenant).into(), (*run.enrollment_id).into());
        let before = self.ended.effects.get(&of_run);
        let before = before.map(|&effect| &self.overlay.effects[effect]);
        if before.is_some_and(|effect| effect.ended_at.is_some()) {
            return None; // its goals are met
        }
        let met = [&run.met[..], before.map_or(&[], |effect| &effect.met)].concat();
        let outcome = Outcome::of(config, &matched, &met);
        (!outcome.changes_nothing()).then_some(outcome)
    }

    /// Adds an outcome for an ended enrollment: achievements, but no exit.
    fn record_after_end(
        &mut self,
        run: &WatchedRun,
        workflow: &str,
        outcome: Outcome,
        case: &mut Match<'_, '_, '_>,
    ) {
        self.turn.spend(turn::ACHIEVED);
        let event = case.event;
        let of_run = ((*event.tenant).into(), (*run.enrollment_id).into());
        let number = match self.ended.effects.get(&of_run) {
            Some(&number) => number,
            None => {
                let number = self.overlay.add_alone(Effect {
                    tenant_id: (*event.tenant).into(),
                    enrollment_id: (*run.enrollment_id).into(),
                    contact_id: (*event.contact).into(),
                    workflow_id: workflow.into(),
                    slot: slot_of(&event.tenant, &event.contact),
                    record: None,
                    after_end: true,
                    status: run.status,
                    enrolled_at: run.enrolled_at,
                    ended_at: None,
                    met: Vec::new(),
                    pending_actions: None,
                    received_at: None,
                    merges: Box::default(),
                    is_repeat: false,
                    started_by: None,
                    match_values: None,
                    used_before: 0,
                    after_event: None,
                    sources: Vec::new(),
                    contenders: Vec::new(),
                });
                self.ended.effects.insert(of_run, number);
                number
            }
        };
        self.use_event(number, case.judged());
        let completes = outcome.completed_goals.is_some();
        let achieves = Outcome {
            completed_goals: None,
            ..outcome
        };
        let effects = &mut self.overlay.effects;
        case.recorder
            .record(&mut self.proposal, effects, number, achieves);
        if completes {
            effects[number].ended_at = Some(event.time_us);
        }
    }
}
