//! Evaluates a batch of events against the index (E1 to E6, E8) and proposes the changes.
//!
//! The index is only read. An overlay holds the changes that earlier events of the batch
//! propose, so that the result equals that of evaluating the events one by one.

mod deletions;
mod explain;
mod goal_events;
mod outcome;
mod overlay;
mod record;

use arrayvec::ArrayVec;

use self::deletions::Deletions;
use self::outcome::GoalFact;
use self::overlay::Overlay;
use self::record::Recorder;
use crate::event::{Event, Fact};
use crate::ids::packed::Key;
use crate::index::{Index, NONE};
use crate::proposal::{
    Acknowledgement, Contender, Deletion, Effect, EntryRef, OTHER_OWNER, Proposal, RejectedEvent,
    Status,
};
use crate::route::slot_of;

pub use self::explain::explain;
pub use self::goal_events::{GoalEvent, goal_events};

/// The event types that goald reads, in the order of the counters. The first five are in the
/// order of `GoalType`.
const TYPES: [&str; 9] = [
    "contact.tag.added",
    "payment.completed",
    "appointment.booked",
    "form.submitted",
    "pipeline.stage.changed",
    "workflow.enrollment.started",
    "workflow.enrollment.ended",
    "workflow.exit.acknowledged",
    "contact.deleted",
];
const STARTED: usize = 5;
const ENDED: usize = 6;
const ACKNOWLEDGED: usize = 7;
const DELETED: usize = 8;

/// The look-up key of an event's contact, computed ahead of the look-up so that its memory
/// can be prefetched.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    pub hash: u64,
    tenant: Option<u32>,
}

/// The result of looking up an event's contact.
#[derive(Debug, Clone, Copy)]
struct Located {
    hash: u64,
    /// Its number in the index, if it has active enrollments there.
    contact: Option<u32>,
}

/// The index or batch entry that owns an enrollment id.
enum KnownId {
    /// The index contains the id, under the same contact and workflow.
    Indexed(u32),
    /// An earlier event of the batch proposes the id, under the same contact and workflow.
    Proposed(usize),
    /// The index contains the id under another workflow.
    OwnedByOther,
    /// An earlier event of the batch proposes the id under another contact or workflow.
    Contended(usize),
}

/// The evaluation of one batch.
#[derive(Debug)]
pub struct Evaluation<'i> {
    index: &'i Index,
    clock_skew_us: i64,
    overlay: Overlay,
    deletions: Deletions,
    counts: [usize; TYPES.len()],
    proposal: Proposal,
}

impl<'i> Evaluation<'i> {
    pub fn new(index: &'i Index, clock_skew_us: i64) -> Evaluation<'i> {
        Evaluation {
            index,
            clock_skew_us,
            overlay: Overlay::default(),
            deletions: Deletions::default(),
            counts: [0; TYPES.len()],
            proposal: Proposal::default(),
        }
    }

    /// Prepares the look-up of an event's contact and prefetches its first cache line. `None`
    /// if no goal of the tenant listens to such an event.
    #[inline]
    pub fn probe(&self, event: &Event<'_>) -> Option<Probe> {
        let tenant = self.index.tenant(&event.tenant);
        if let Some(fact) = GoalFact::of(event, 0) {
            let listens = |tenant| self.index.tenant_listens(tenant, fact.goal_type.bit());
            if !tenant.is_some_and(listens) {
                return None;
            }
        }
        // The overlay needs a hash even if the index has nothing of the tenant.
        let hash = self
            .index
            .hash(tenant.unwrap_or(NONE), Key::of(&event.contact));
        self.index.prefetch_bucket(hash);
        Some(Probe { hash, tenant })
    }

    /// Prefetches the records behind these probes: the second step after `probe`.
    #[inline]
    pub fn prefetch<const N: usize>(&self, probes: &ArrayVec<Option<Probe>, N>) {
        let mut hashes = ArrayVec::<u64, N>::new();
        hashes.extend(probes.iter().flatten().map(|probe| probe.hash));
        self.index.prefetch_records(&hashes);
    }

    #[inline]
    fn locate(&self, event: &Event<'_>, probe: Probe) -> Located {
        let find = |tenant| {
            self.index
                .find_hashed(probe.hash, tenant, Key::of(&event.contact))
        };
        Located {
            hash: probe.hash,
            contact: probe.tenant.and_then(find),
        }
    }

    /// Adds an event that could not be decoded.
    pub fn reject(&mut self, entry: EntryRef<'_>, reason: String) {
        self.proposal.events += 1;
        self.proposal.rejected.push(RejectedEvent {
            source: entry.into(),
            reason,
        });
    }

    /// Evaluates the next event of the batch; `probe` is the result of `probe` for it.
    #[inline]
    pub fn apply_event(&mut self, entry: EntryRef<'_>, event: &Event<'_>, probe: Option<Probe>) {
        self.proposal.events += 1;
        let fact = GoalFact::of(event, self.clock_skew_us);
        if let Some(fact) = &fact {
            self.counts[fact.goal_type as usize] += 1;
        }
        let Some(probe) = probe else { return };
        let at = self.locate(event, probe);
        if let Some(fact) = fact {
            self.match_goals(entry, event, fact, at);
            return;
        }
        match &event.fact {
            Fact::EnrollmentStarted { .. } => self.start_or_end(STARTED, entry, event, at),
            Fact::EnrollmentEnded { .. } => self.start_or_end(ENDED, entry, event, at),
            Fact::ExitAcknowledged { .. } => self.acknowledge(event),
            Fact::ContactDeleted => self.delete(event, at),
            _ => self.proposal.ignored += 1,
        }
    }

    pub fn finish(self) -> Proposal {
        let counts = TYPES
            .into_iter()
            .zip(self.counts)
            .filter(|(_, count)| *count > 0);
        Proposal {
            effects: self.overlay.effects,
            events_by_type: counts.collect(),
            ..self.proposal
        }
    }

    /// Evaluates an event against every active enrollment of its contact (E1).
    #[inline]
    fn match_goals(
        &mut self,
        entry: EntryRef<'_>,
        event: &Event<'_>,
        fact: GoalFact<'_, '_>,
        at: Located,
    ) {
        let index = self.index;
        let mut recorder = Recorder::new(entry.entry.ms, event, fact.goal_type);
        for (number, enrollment) in at.contact.into_iter().flat_map(|at| index.of_contact(at)) {
            let workflow = enrollment.workflow();
            if !index.listens(workflow, fact.goal_type.bit()) {
                continue;
            }
            let Some(config) = index.config(workflow) else {
                continue;
            };
            if !fact.matches(config, enrollment.enrolled_at) {
                continue;
            }
            let effect = match self.overlay.on_record(number) {
                Some(effect) if self.overlay.effects[effect].status != Status::Active => continue,
                effect => effect,
            };
            let new_goals = effect.map_or(&[][..], |effect| &self.overlay.effects[effect].met);
            let met = [index.met(number), new_goals].concat();
            let outcome = fact.outcome(config, &met);
            if outcome.completed_goals.is_some() || !outcome.new_goals.is_empty() {
                let effect = effect.unwrap_or_else(|| self.add_update(number, event, at));
                recorder.record(
                    &mut self.proposal,
                    &mut self.overlay.effects,
                    effect,
                    outcome,
                );
            }
        }
        for number in self.proposed_for(event, at) {
            let effect = &self.overlay.effects[number];
            if !effect.is_new() || effect.status != Status::Active {
                continue;
            }
            let workflow = index.workflow(&effect.tenant_id, &effect.workflow_id);
            let Some(config) = workflow.and_then(|workflow| index.config(workflow)) else {
                continue;
            };
            if fact.matches(config, effect.enrolled_at) {
                let outcome = fact.outcome(config, &effect.met);
                recorder.record(
                    &mut self.proposal,
                    &mut self.overlay.effects,
                    number,
                    outcome,
                );
            }
        }
    }

    /// The effects that earlier events of the batch propose for the event's contact.
    #[inline]
    fn proposed_for(&self, event: &Event<'_>, at: Located) -> Vec<usize> {
        self.overlay
            .of_contact(at.hash, &event.tenant, &event.contact)
            .to_vec()
    }

    /// `workflow.enrollment.started` and `workflow.enrollment.ended` (E5).
    fn start_or_end(
        &mut self,
        counter: usize,
        entry: EntryRef<'_>,
        event: &Event<'_>,
        at: Located,
    ) {
        self.counts[counter] += 1;
        let (workflow, enrollment, status, enrolled_at, pending_actions) = match &event.fact {
            Fact::EnrollmentStarted {
                workflow_id,
                enrollment_id,
                enrolled_at_us,
                pending_actions,
            } => {
                let enrolled_at = enrolled_at_us.unwrap_or(event.time_us);
                (
                    workflow_id,
                    enrollment_id,
                    Status::Active,
                    enrolled_at,
                    *pending_actions,
                )
            }
            Fact::EnrollmentEnded {
                workflow_id,
                enrollment_id,
                reason,
            } => (
                workflow_id,
                enrollment_id,
                Status::from(*reason),
                event.time_us,
                None,
            ),
            _ => return,
        };
        let ends = status != Status::Active;
        let effect = match self.known_id(event, enrollment, workflow, at) {
            Some(KnownId::OwnedByOther) => {
                self.proposal.rejected.push(RejectedEvent {
                    source: entry.into(),
                    reason: OTHER_OWNER.to_owned(),
                });
                return;
            }
            Some(KnownId::Contended(effect)) => {
                self.overlay.effects[effect].contenders.push(Contender {
                    source: entry.into(),
                    contact_id: (*event.contact).into(),
                    workflow_id: (**workflow).into(),
                });
                return;
            }
            Some(KnownId::Indexed(_)) if !ends => return,
            Some(KnownId::Indexed(number)) => self.update_of(number, event, at),
            Some(KnownId::Proposed(effect)) => {
                self.overlay.effects[effect].sources.push(entry.into());
                effect
            }
            None => {
                // An enrollment that began before its contact was deleted, and arrives after it,
                // is cancelled from its start.
                let is_deleted = self.deletions.cover(event, enrolled_at);
                let (status, ended_at) = if is_deleted {
                    (Status::Cancelled, Some(enrolled_at))
                } else {
                    (status, ends.then_some(event.time_us))
                };
                let effect = Effect {
                    tenant_id: (*event.tenant).into(),
                    enrollment_id: (**enrollment).into(),
                    contact_id: (*event.contact).into(),
                    workflow_id: (**workflow).into(),
                    slot: slot_of(&event.tenant, &event.contact),
                    record: None,
                    status,
                    enrolled_at,
                    ended_at,
                    met: Vec::new(),
                    pending_actions,
                    sources: vec![entry.into()],
                    contenders: Vec::new(),
                };
                self.overlay.add(at.hash, effect);
                return;
            }
        };
        if ends {
            self.end(effect, status, event.time_us);
        }
    }

    /// Whether the enrollment id is known, and under which contact and workflow.
    fn known_id(
        &self,
        event: &Event<'_>,
        enrollment: &str,
        workflow: &str,
        at: Located,
    ) -> Option<KnownId> {
        let indexed = at
            .contact
            .and_then(|contact| self.index.find_enrollment(contact, enrollment));
        if let Some(number) = indexed {
            let current = self
                .index
                .workflow_id(self.index.enrollment(number).workflow());
            return if *current == *workflow {
                Some(KnownId::Indexed(number))
            } else {
                Some(KnownId::OwnedByOther)
            };
        }
        let number = self.overlay.by_id(&event.tenant, enrollment)?;
        let effect = &self.overlay.effects[number];
        let is_same = *effect.contact_id == *event.contact && *effect.workflow_id == *workflow;
        if is_same {
            Some(KnownId::Proposed(number))
        } else {
            Some(KnownId::Contended(number))
        }
    }

    /// `contact.deleted` cancels the enrollments that began at or before its time, without an
    /// exit.
    fn delete(&mut self, event: &Event<'_>, at: Located) {
        self.counts[DELETED] += 1;
        let index = self.index;
        for (number, enrollment) in at.contact.into_iter().flat_map(|at| index.of_contact(at)) {
            if enrollment.enrolled_at <= event.time_us {
                let effect = self.update_of(number, event, at);
                self.end(effect, Status::Cancelled, event.time_us);
            }
        }
        for effect in self.proposed_for(event, at) {
            if self.overlay.effects[effect].enrolled_at <= event.time_us {
                self.end(effect, Status::Cancelled, event.time_us);
            }
        }
        self.deletions.add(event);
        self.proposal.deletions.push(Deletion {
            tenant_id: (*event.tenant).into(),
            contact_id: (*event.contact).into(),
            slot: slot_of(&event.tenant, &event.contact),
            time: event.time_us,
        });
    }

    fn acknowledge(&mut self, event: &Event<'_>) {
        self.counts[ACKNOWLEDGED] += 1;
        if let Fact::ExitAcknowledged {
            workflow_id,
            enrollment_id,
            cancelled_actions,
        } = &event.fact
        {
            self.proposal.acknowledgements.push(Acknowledgement {
                tenant_id: (*event.tenant).into(),
                enrollment_id: (**enrollment_id).into(),
                contact_id: (*event.contact).into(),
                workflow_id: (**workflow_id).into(),
                slot: slot_of(&event.tenant, &event.contact),
                cancelled_actions: *cancelled_actions,
                time: event.time_us,
            });
        }
    }

    /// Sets a final status, unless the enrollment already has one (E5).
    fn end(&mut self, effect: usize, status: Status, time: i64) {
        let effect = &mut self.overlay.effects[effect];
        if effect.status == Status::Active {
            effect.status = status;
            effect.ended_at = Some(time);
        }
    }

    /// The effect on an enrollment of the index; added if there is none yet.
    fn update_of(&mut self, number: u32, event: &Event<'_>, at: Located) -> usize {
        match self.overlay.on_record(number) {
            Some(effect) => effect,
            None => self.add_update(number, event, at),
        }
    }

    fn add_update(&mut self, number: u32, event: &Event<'_>, at: Located) -> usize {
        let enrollment = self.index.enrollment(number);
        let effect = Effect {
            tenant_id: (*event.tenant).into(),
            enrollment_id: self.index.enrollment_id(number).into(),
            contact_id: (*event.contact).into(),
            workflow_id: self.index.workflow_id(enrollment.workflow()).into(),
            slot: slot_of(&event.tenant, &event.contact),
            record: Some(number),
            status: Status::Active,
            enrolled_at: enrollment.enrolled_at,
            ended_at: None,
            met: Vec::new(),
            pending_actions: None,
            sources: Vec::new(),
            contenders: Vec::new(),
        };
        self.overlay.add(at.hash, effect)
    }
}
