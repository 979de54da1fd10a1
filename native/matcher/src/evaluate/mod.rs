//! Evaluates a batch of events against the index (E1 to E6, E8) and proposes the changes.
//!
//! The index is only read. An overlay holds the changes that earlier events of the batch
//! propose, so that the result equals that of evaluating the events one by one.

mod batch;
mod contact_checks;
mod ended;
mod enrollments;
mod explain;
mod goal_events;
mod goals;
mod limit;
mod merges;
mod missed;
mod outcome;
mod own_runs;
mod record;
mod stored;
mod turn;
mod unattached;
mod used;

use arrayvec::ArrayVec;

use self::batch::{Deletions, Overlay};
use self::outcome::GoalFact;
use self::stored::ended::EndedRuns;
use self::stored::known_contacts::{self, KnownContacts};
use self::stored::later_merges::LaterMerges;
use self::stored::missed::Missed;
use self::stored::origins::Origins;
use self::stored::repeats::{FullContacts, Repeats};
use self::stored::used_events::UsedEvents;
use self::turn::Turn;
use crate::config::GoalType;
use crate::event::{Event, Fact};
use crate::ids::packed::Key;
use crate::index::{Index, KEEPS_CONTACTS, NONE};
use crate::proposal::{EntryRef, ForwardedEvents, Proposal, RejectedEvent};
use crate::route::routing_key;

pub use self::batch::{OwnRun, OwnStart};
pub use self::explain::{StoredFacts, explain};
pub use self::goal_events::{GoalEvent, goal_events, run_events};
pub use self::stored::ended::{EndedAnswer, WatchedRun};
pub use self::stored::known_contacts::{KnownState, OldTags};
pub use self::stored::origins::Origin;
pub use self::stored::used_events::ExcludedEvent;
pub use self::turn::EvaluateOptions;

/// The event types that goald reads, in the order of the counters. The first five are in the
/// order of `GoalType`.
const TYPES: [&str; 18] = [
    "contact.tag.added",
    "payment.completed",
    "appointment.booked",
    "form.submitted",
    "pipeline.stage.changed",
    "workflow.enrollment.started",
    "workflow.enrollment.ended",
    "workflow.exit.acknowledged",
    "contact.deleted",
    "payment.refunded",
    "appointment.cancelled",
    "contact.updated",
    "contact.tag.removed",
    "contact.merged",
    "workflow.action.finished",
    "workflow.execution.requested",
    "workflow.execution.cancel_requested",
    "workflow.execution.retry_requested",
];
const STARTED: usize = 5;
const ENDED: usize = 6;
const ACKNOWLEDGED: usize = 7;
const DELETED: usize = 8;
const REFUNDED: usize = 9;
const APPOINTMENT_CANCELLED: usize = 10;
const CONTACT_UPDATED: usize = 11;
const TAG_REMOVED: usize = 12;
const CONTACT_MERGED: usize = 13;

/// The settings on which the result of an evaluation depends.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Added to event times when they are compared with the times of enrollments and goals (E3).
    pub clock_skew_us: i64,
    /// A contact with this many active enrollments starts no further one (E5).
    pub max_enrollments_per_contact: usize,
    /// For how long an enrollment is watched after its end, by goals without a window (E18). 0: not.
    pub late_us: i64,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            clock_skew_us: 0,
            max_enrollments_per_contact: 10_000,
            late_us: 0,
        }
    }
}

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
    tenant: Option<u32>,
    /// Its number in the index, if it has active enrollments there.
    contact: Option<u32>,
}

/// The evaluation of one batch.
#[derive(Debug)]
pub struct Evaluation<'i> {
    index: &'i Index,
    rules: Rules,
    turn: Turn,
    overlay: Overlay,
    deletions: Deletions,
    repeats: Repeats<'i>,
    full: FullContacts,
    used: UsedEvents<'i>,
    known: KnownContacts<'i>,
    missed: Missed<'i>,
    later_merges: LaterMerges<'i>,
    origins: Origins<'i>,
    ended: EndedRuns<'i>,
    forwarded: ForwardedEvents,
    counts: [usize; TYPES.len()],
    proposal: Proposal,
}

impl<'i> Evaluation<'i> {
    pub fn new(index: &'i Index, rules: Rules, options: EvaluateOptions<'i>) -> Evaluation<'i> {
        Evaluation {
            index,
            rules,
            turn: Turn::new(options),
            overlay: Overlay::default(),
            deletions: Deletions::default(),
            repeats: Repeats::new(options.repeats),
            full: FullContacts::default(),
            used: UsedEvents::new(options.excluded),
            known: KnownContacts::new(options.old_tags, options.states),
            missed: Missed::new(options.only),
            later_merges: LaterMerges::new(options.merges),
            origins: Origins::new(options.origins),
            ended: EndedRuns::new(options.ended, options.defers_ended),
            forwarded: ForwardedEvents::default(),
            counts: [0; TYPES.len()],
            proposal: Proposal::default(),
        }
    }

    /// Prepares the look-up of an event's contact and prefetches its first cache line. `None`
    /// if no goal of the tenant listens to such an event, and it does not describe the contact.
    #[inline]
    pub fn probe(&self, event: &Event<'_>) -> Option<Probe> {
        let tenant = self.index.tenant(&event.tenant);
        if let Some(fact) = GoalFact::of(event, 0) {
            let mut bits = fact.goal_type.bit() | unattached::contact_bit(fact.goal_type);
            if self.index.has_forwards() {
                bits |= KEEPS_CONTACTS; // it may trigger a workflow, of the contact that continues
            }
            let listens = |tenant| self.index.tenant_listens(tenant, bits);
            if !tenant.is_some_and(listens) && !known_contacts::begins_projection(&event.fact) {
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
            tenant: probe.tenant,
            contact: probe.tenant.and_then(find),
        }
    }

    /// Defers an entry that is not decoded yet, if its tenant's events wait. False if it must be
    /// evaluated.
    #[inline]
    pub fn defer(&mut self, entry: EntryRef<'_>) -> bool {
        if !self.turn.defers_any() {
            return false;
        }
        let Ok((tenant, _)) = routing_key(entry.entry.event) else {
            return false;
        };
        let waits = self.turn.defers(&tenant);
        if waits {
            self.turn.defer(&tenant, entry);
        }
        waits
    }

    /// Adds an event that could not be decoded.
    pub fn reject(&mut self, entry: EntryRef<'_>, reason: String) {
        self.turn.start(entry.entry.event.len());
        self.proposal.events += 1;
        self.dead_letter(entry, reason);
        if let Ok((tenant, _)) = routing_key(entry.entry.event) {
            self.turn.end(&tenant);
        }
    }

    fn dead_letter(&mut self, entry: EntryRef<'_>, reason: String) {
        self.turn.spend(turn::REJECTED);
        self.proposal.rejected.push(RejectedEvent {
            source: entry.into(),
            reason,
        });
    }

    /// Evaluates the next event of the batch; `probe` is the result of `probe` for it. Defers it
    /// if its tenant's events wait, or if only a part of its effects fits in this turn: evaluated
    /// again after the commit, it has the others. Returns whether all its effects are proposed.
    #[inline]
    pub fn apply_event(
        &mut self,
        entry: EntryRef<'_>,
        event: &Event<'_>,
        probe: Option<Probe>,
    ) -> bool {
        if self.turn.defers_any() && self.turn.defers(&event.tenant) {
            self.turn.defer(&event.tenant, entry);
            return false;
        }
        self.turn.start(entry.entry.event.len());
        let is_complete = self.evaluate(entry, event, probe);
        self.turn.end(&event.tenant);
        if is_complete {
            self.proposal.events += 1;
        } else {
            self.turn.hold(&event.tenant);
            self.turn.defer(&event.tenant, entry);
        }
        is_complete
    }

    /// Dead-letters an event that was evaluated, because executions cannot read it.
    #[cold]
    pub fn refuse(&mut self, entry: EntryRef<'_>, event: &Event<'_>, reason: String) {
        self.turn.start(0);
        self.dead_letter(entry, reason);
        self.turn.end(&event.tenant);
    }

    /// Whether all effects of the event are proposed.
    #[inline]
    fn evaluate(&mut self, entry: EntryRef<'_>, event: &Event<'_>, probe: Option<Probe>) -> bool {
        if let Some(contact) = self.origins.returned_to(entry.buffer) {
            self.pass_back(entry, event, contact);
            return true;
        }
        let fact = GoalFact::of(event, self.rules.clock_skew_us);
        let keeps = !self.missed.is_replay()
            && (probe.is_some_and(|probe| self.keeps_contact(probe, fact))
                || known_contacts::begins_projection(&event.fact));
        let at = probe.map(|probe| self.locate(event, probe));
        // A merged contact has no enrollments here, so an event of another costs nothing.
        if at.is_some_and(|at| at.contact.is_none())
            && self.index.has_forwards()
            && self.forward(entry, event)
        {
            return true;
        }
        let is_complete = match (at, &event.fact) {
            (None, _) => true,
            (Some(at), _) if fact.is_some() => {
                fact.is_none_or(|fact| self.match_goals(entry, event, fact, at))
            }
            (Some(at), Fact::EnrollmentStarted { .. }) => {
                self.start_or_end(STARTED, entry, event, at)
            }
            (Some(at), Fact::EnrollmentEnded { .. }) => self.start_or_end(ENDED, entry, event, at),
            (Some(_), Fact::ExitAcknowledged { .. }) => {
                self.acknowledge(event);
                true
            }
            (Some(_), Fact::PaymentRefunded { payment_id }) => {
                let reference = payment_id.as_deref();
                self.reverse(REFUNDED, event, GoalType::PurchaseMade, reference);
                true
            }
            (Some(_), Fact::AppointmentCancelled { appointment_id }) => {
                let (counter, goal_type) = (APPOINTMENT_CANCELLED, GoalType::AppointmentBooked);
                self.reverse(counter, event, goal_type, appointment_id.as_deref());
                true
            }
            (Some(at), Fact::ContactDeleted) => self.delete(event, at),
            (Some(_), Fact::ContactMerged { into_contact_id }) => {
                self.merge(entry, event, into_contact_id);
                true
            }
            (Some(_), Fact::ContactUpdated) => {
                self.describe(CONTACT_UPDATED, entry, event);
                true
            }
            (Some(_), Fact::TagRemoved) if keeps => {
                self.describe(TAG_REMOVED, entry, event);
                true
            }
            _ => {
                self.proposal.ignored += 1;
                true
            }
        };
        if let Some(fact) = fact.filter(|_| is_complete) {
            self.counts[fact.goal_type as usize] += 1;
            if keeps {
                self.add_contact_event(entry, event);
            }
        }
        is_complete
    }

    pub fn finish(mut self) -> Proposal {
        self.add_starts_at_limit();
        let counts = TYPES
            .into_iter()
            .zip(self.counts)
            .filter(|(_, count)| *count > 0);
        let (work, deferred) = self.turn.finish();
        Proposal {
            effects: self.overlay.effects,
            events_by_type: counts.collect(),
            work,
            deferred,
            forwarded: self.forwarded.finish(),
            ..self.proposal
        }
    }

    /// The effects that earlier events of the batch propose for the event's contact.
    #[inline]
    fn proposed_for(&self, event: &Event<'_>, at: Located) -> Vec<usize> {
        self.overlay
            .of_contact(at.hash, &event.tenant, &event.contact)
            .to_vec()
    }
}
