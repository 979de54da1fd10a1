//! A batch of events held against the index (E1 to E6, E8): what it would change.
//!
//! The index is only read. An overlay holds what earlier events of the batch would have
//! changed, so that the outcome is that of one event after the other.

use arrayvec::ArrayVec;
use uuid::Uuid;

use crate::config::{Goal, Logic, Workflow};
use crate::criteria::GoalType;
use crate::evaluate_overlay::Overlay;
use crate::evaluate_record::Record;
use crate::event::{Event, Fact};
use crate::ids::Key;
use crate::index::Index;
use crate::index_slab::NONE;
use crate::proposal::{
    Acknowledgement, Deletion, Effect, OTHER_OWNER, Place, Proposal, Refused, Rival, Status,
};
use crate::route::slot_of;

/// The names of the types that are read, in the order in which they are counted.
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

/// Where to look for the contact of an event.
#[derive(Debug, Clone, Copy)]
pub struct Aim {
    pub hash: u64,
    tenant: Option<u32>,
}

/// Where the contact of an event is.
#[derive(Debug, Clone, Copy)]
struct Located {
    hash: u64,
    held: Option<u32>,
}

/// An enrollment id that was seen before.
enum Seen {
    /// Under the same contact and workflow, by the index or by an earlier event of the batch.
    Held(u32),
    Drafted(usize),
    /// Under another: the index is sure of it, an earlier event only claims it.
    Others,
    Claimed(usize),
}

#[derive(Debug)]
pub struct Evaluation<'i> {
    index: &'i Index,
    clock_skew_us: i64,
    overlay: Overlay,
    counts: [usize; TYPES.len()],
    proposal: Proposal,
}

impl<'i> Evaluation<'i> {
    pub fn new(index: &'i Index, clock_skew_us: i64) -> Evaluation<'i> {
        Evaluation {
            index,
            clock_skew_us,
            overlay: Overlay::default(),
            counts: [0; TYPES.len()],
            proposal: Proposal::default(),
        }
    }

    /// Where an event's contact is to be looked for; `None` where nothing of the tenant waits
    /// for such an event.
    #[inline]
    pub fn aim(&self, event: &Event<'_>) -> Option<Aim> {
        let tenant = self.index.tenant(&event.tenant);
        if let Some(goal_type) = GoalType::of(&event.fact) {
            let heard = |tenant| self.index.tenant_listens(tenant, goal_type.bit());
            if !tenant.is_some_and(heard) {
                return None;
            }
        }
        // A tenant of whom the index knows nothing still needs a place in the overlay.
        let hash = self
            .index
            .hash(tenant.unwrap_or(NONE), Key::of(&event.contact));
        self.index.announce(hash);
        Some(Aim { hash, tenant })
    }

    /// Bring what these events will read into the cache (a second step after `aim`).
    #[inline]
    pub fn bring<const N: usize>(&self, aims: &ArrayVec<Option<Aim>, N>) {
        let mut hashes = ArrayVec::<u64, N>::new();
        hashes.extend(aims.iter().flatten().map(|aim| aim.hash));
        self.index.bring(&hashes);
    }

    #[inline]
    fn locate(&self, event: &Event<'_>, aim: Aim) -> Located {
        let find = |tenant| {
            self.index
                .find_hashed(aim.hash, tenant, Key::of(&event.contact))
        };
        Located {
            hash: aim.hash,
            held: aim.tenant.and_then(find),
        }
    }

    /// An event that could not be decoded.
    pub fn refuse(&mut self, place: Place<'_>, reason: String) {
        self.proposal.events += 1;
        self.proposal.refused.push(Refused {
            source: place.into(),
            reason,
        });
    }

    /// The next event of the batch, with what `aim` said of it.
    #[inline]
    pub fn take(&mut self, place: Place<'_>, event: &Event<'_>, aim: Option<Aim>) {
        self.proposal.events += 1;
        let goal_type = GoalType::of(&event.fact);
        if let Some(goal_type) = goal_type {
            self.counts[goal_type as usize] += 1;
        }
        let Some(aim) = aim else { return };
        let at = self.locate(event, aim);
        if let Some(goal_type) = goal_type {
            self.hear(place, event, goal_type, at);
            return;
        }
        match &event.fact {
            Fact::EnrollmentStarted { .. } => self.start(5, place, event, at),
            Fact::EnrollmentEnded { .. } => self.start(6, place, event, at),
            Fact::ExitAcknowledged { .. } => self.acknowledge(event),
            Fact::ContactDeleted => self.delete(event, at),
            _ => self.proposal.passed_over += 1,
        }
    }

    pub fn finish(self) -> Proposal {
        let counted = TYPES
            .into_iter()
            .zip(self.counts)
            .filter(|(_, count)| *count > 0);
        Proposal {
            effects: self.overlay.effects,
            events_by_type: counted.collect(),
            ..self.proposal
        }
    }

    /// A fact that goals may wait for, against every active enrollment of its contact (E1).
    #[inline]
    fn hear(&mut self, place: Place<'_>, event: &Event<'_>, goal_type: GoalType, at: Located) {
        let index = self.index;
        let mut record = Record::new(place.entry.ms, event, goal_type);
        for (number, enrollment) in at.held.into_iter().flat_map(|at| index.of_contact(at)) {
            let workflow = enrollment.workflow();
            if !index.listens(workflow, goal_type.bit()) {
                continue;
            }
            let Some(config) = index.config(workflow) else {
                continue;
            };
            if !self.matches(config, event, goal_type, enrollment.enrolled_at) {
                continue;
            }
            let effect = match self.overlay.on_held(number) {
                Some(draft) if self.overlay.effects[draft].status != Status::Active => continue,
                draft => draft,
            };
            let newly = effect.map_or(&[][..], |effect| &self.overlay.effects[effect].met);
            let met = [index.met(number), newly].concat();
            let outcome = self.outcome(config, event, goal_type, &met);
            if outcome.completed.is_some() || !outcome.newly.is_empty() {
                let effect = effect.unwrap_or_else(|| self.draft_held(number, event, at));
                record.write(
                    &mut self.proposal,
                    &mut self.overlay.effects,
                    effect,
                    outcome,
                );
            }
        }
        let drafts = self
            .overlay
            .of_contact(at.hash, &event.tenant, &event.contact)
            .to_vec();
        for draft in drafts {
            let effect = &self.overlay.effects[draft];
            if !effect.is_new() || effect.status != Status::Active {
                continue;
            }
            let workflow = index.workflow(&effect.tenant_id, &effect.workflow_id);
            let Some(config) = workflow.and_then(|workflow| index.config(workflow)) else {
                continue;
            };
            if self.matches(config, event, goal_type, effect.enrolled_at) {
                let met = effect.met.clone();
                let outcome = self.outcome(config, event, goal_type, &met);
                record.write(
                    &mut self.proposal,
                    &mut self.overlay.effects,
                    draft,
                    outcome,
                );
            }
        }
    }

    /// Whether any goal of the workflow is matched (E2) in time (E3).
    #[inline]
    fn matches(
        &self,
        config: &Workflow,
        event: &Event<'_>,
        goal_type: GoalType,
        enrolled_at: i64,
    ) -> bool {
        let time = event.time_us.saturating_add(self.clock_skew_us);
        time >= enrolled_at
            && config
                .matched(goal_type, time, &event.fact)
                .next()
                .is_some()
    }

    /// What an event would do to an enrollment that has met these goals; `None` where it
    /// matches none of its workflow's goals.
    pub fn would_do(
        &self,
        config: &Workflow,
        event: &Event<'_>,
        enrolled_at: i64,
        met: &[Uuid],
    ) -> Option<Outcome> {
        let goal_type = GoalType::of(&event.fact)?;
        self.matches(config, event, goal_type, enrolled_at)
            .then(|| self.outcome(config, event, goal_type, met))
    }

    /// What a match does to an enrollment that has met these goals (E4).
    fn outcome(
        &self,
        config: &Workflow,
        event: &Event<'_>,
        goal_type: GoalType,
        met: &[Uuid],
    ) -> Outcome {
        let time = event.time_us.saturating_add(self.clock_skew_us);
        let matched = config.matched(goal_type, time, &event.fact);
        let is_new = |goal: &Uuid| !met.contains(goal);
        let (newly, completes): (Vec<Uuid>, bool) = match config.logic {
            Logic::Any => (matched.take(1).filter(is_new).collect(), true),
            Logic::All => {
                let newly: Vec<Uuid> = matched.filter(is_new).collect();
                let is_met = |goal: &Goal| met.contains(&goal.id) || newly.contains(&goal.id);
                let completes = config
                    .goals
                    .iter()
                    .all(|goal| !goal.is_active || is_met(goal));
                (newly, completes)
            }
        };
        let completed = completes.then(|| {
            let mut goals = [met, &newly].concat();
            // Those that are no longer configured first, then from the oldest on.
            goals.sort_by_key(|id| config.goals.iter().position(|goal| goal.id == *id));
            goals
        });
        Outcome { newly, completed }
    }

    /// `started` and `ended`: an enrollment appears, or leaves for a reason of its own (E5).
    fn start(&mut self, kind: usize, place: Place<'_>, event: &Event<'_>, at: Located) {
        self.counts[kind] += 1;
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
        let draft = match self.seen(event, enrollment, workflow, at) {
            Some(Seen::Others) => {
                let reason = OTHER_OWNER.to_owned();
                self.proposal.refused.push(Refused {
                    source: place.into(),
                    reason,
                });
                return;
            }
            Some(Seen::Claimed(draft)) => {
                self.overlay.effects[draft].rivals.push(Rival {
                    source: place.into(),
                    contact_id: (*event.contact).into(),
                    workflow_id: (**workflow).into(),
                });
                return;
            }
            Some(Seen::Held(_)) if !ends => return,
            Some(Seen::Held(number)) => self.draft_of(number, event, at),
            Some(Seen::Drafted(draft)) => {
                self.overlay.effects[draft].sources.push(place.into());
                draft
            }
            None => {
                let effect = Effect {
                    tenant_id: (*event.tenant).into(),
                    enrollment_id: (**enrollment).into(),
                    contact_id: (*event.contact).into(),
                    workflow_id: (**workflow).into(),
                    slot: slot_of(&event.tenant, &event.contact),
                    held: None,
                    status,
                    enrolled_at,
                    ended_at: ends.then_some(event.time_us),
                    met: Vec::new(),
                    pending_actions,
                    sources: vec![place.into()],
                    rivals: Vec::new(),
                };
                self.overlay.add(at.hash, effect);
                return;
            }
        };
        if ends {
            self.end(draft, status, event.time_us);
        }
    }

    /// Whether an enrollment of this id is known, and whose it is.
    fn seen(
        &self,
        event: &Event<'_>,
        enrollment: &str,
        workflow: &str,
        at: Located,
    ) -> Option<Seen> {
        let held = at
            .held
            .and_then(|contact| self.index.find_enrollment(contact, enrollment));
        if let Some(number) = held {
            let known = self
                .index
                .workflow_id(self.index.enrollment(number).workflow());
            return if *known == *workflow {
                Some(Seen::Held(number))
            } else {
                Some(Seen::Others)
            };
        }
        let draft = self.overlay.by_id(&event.tenant, enrollment)?;
        let known = &self.overlay.effects[draft];
        let same = *known.contact_id == *event.contact && *known.workflow_id == *workflow;
        if same {
            Some(Seen::Drafted(draft))
        } else {
            Some(Seen::Claimed(draft))
        }
    }

    /// A contact that is deleted leaves what it was in when that happened, without an exit.
    fn delete(&mut self, event: &Event<'_>, at: Located) {
        self.counts[8] += 1;
        let index = self.index;
        for (number, enrollment) in at.held.into_iter().flat_map(|at| index.of_contact(at)) {
            if enrollment.enrolled_at <= event.time_us {
                let draft = self.draft_of(number, event, at);
                self.end(draft, Status::Cancelled, event.time_us);
            }
        }
        let drafts = self
            .overlay
            .of_contact(at.hash, &event.tenant, &event.contact)
            .to_vec();
        for draft in drafts {
            if self.overlay.effects[draft].enrolled_at <= event.time_us {
                self.end(draft, Status::Cancelled, event.time_us);
            }
        }
        self.proposal.deletions.push(Deletion {
            tenant_id: (*event.tenant).into(),
            contact_id: (*event.contact).into(),
            slot: slot_of(&event.tenant, &event.contact),
            time: event.time_us,
        });
    }

    fn acknowledge(&mut self, event: &Event<'_>) {
        self.counts[7] += 1;
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

    /// A status leaves active once and for good.
    fn end(&mut self, draft: usize, status: Status, time: i64) {
        let effect = &mut self.overlay.effects[draft];
        if effect.status == Status::Active {
            effect.status = status;
            effect.ended_at = Some(time);
        }
    }

    /// The effect on an enrollment that the index holds, made where there is none yet.
    fn draft_of(&mut self, number: u32, event: &Event<'_>, at: Located) -> usize {
        match self.overlay.on_held(number) {
            Some(draft) => draft,
            None => self.draft_held(number, event, at),
        }
    }

    fn draft_held(&mut self, number: u32, event: &Event<'_>, at: Located) -> usize {
        let enrollment = self.index.enrollment(number);
        let effect = Effect {
            tenant_id: (*event.tenant).into(),
            enrollment_id: self.index.enrollment_id(number).into(),
            contact_id: (*event.contact).into(),
            workflow_id: self.index.workflow_id(enrollment.workflow()).into(),
            slot: slot_of(&event.tenant, &event.contact),
            held: Some(number),
            status: Status::Active,
            enrolled_at: enrollment.enrolled_at,
            ended_at: None,
            met: Vec::new(),
            pending_actions: None,
            sources: Vec::new(),
            rivals: Vec::new(),
        };
        self.overlay.add(at.hash, effect)
    }
}

/// What a match does to an enrollment: goals met for the first time, and whether it is through.
#[derive(Debug)]
pub struct Outcome {
    pub newly: Vec<Uuid>,
    /// All the goals that it has met, where it is through.
    pub completed: Option<Vec<Uuid>>,
}
