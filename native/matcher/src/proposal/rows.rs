//! The proposal of a batch and its rows. Times are microseconds since the epoch.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::effect::{Effect, RejectedEvent, SourceEntry};
use super::execution::{ExecutionRows, Transition};
use crate::config::{GoalType, WatchedSince};

/// An enrollment met a goal.
#[derive(Debug, Clone)]
pub struct Achievement {
    /// The number of the effect that causes this row.
    pub effect: usize,
    pub id: Uuid,
    pub goal_id: Uuid,
    pub goal_type: GoalType,
    pub achieved_at: i64,
    /// The event's `data` as JSON, shared by all achievements of the event.
    pub trigger_event: Arc<str>,
    /// The event's attributes as JSON.
    pub metadata: Arc<str>,
}

/// An event counted for an enrollment: it met a goal, or completed the enrollment (E11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedEvent {
    /// The number of the effect that causes this row.
    pub effect: usize,
    pub event: Uuid,
    /// When Redis received the event.
    pub received_at: i64,
}

/// An event that counts for an enrollment, unless Postgres knows that it does not: because it
/// counted for an earlier enrollment of the contact in the workflow, or started this one (E11); or
/// because it is of another contact than the enrollment was when Redis received it (E21).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventCheck {
    pub tenant_id: Box<str>,
    pub contact_id: Box<str>,
    pub workflow_id: Box<str>,
    pub enrollment_id: Box<str>,
    pub event: Uuid,
    /// When Redis received the event.
    pub received_at: i64,
    /// When it received the first merge that moved the event's contact since then; 0 if none did.
    pub next_merge: i64,
}

/// An event that may count for an ended enrollment of its contact in a workflow (E18), if Postgres
/// has one, and has not counted the event in this workflow (E11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedCheck {
    pub tenant_id: Box<str>,
    pub contact_id: Box<str>,
    pub workflow_id: Box<str>,
    pub event: Uuid,
    /// The event's time plus the allowed clock skew: it counts for no enrollment that began later.
    pub time: i64,
    /// It counts for enrollments that began at or after the first time, or ended at or after the
    /// second.
    pub first: WatchedSince,
    /// Whether it has counted for an enrollment that the batch ends, so that the result depends on
    /// whether it has counted before.
    pub counts: bool,
}

/// An enrollment ends because its goals are met.
#[derive(Debug, Clone)]
pub struct Exit {
    /// The number of the effect that causes this row.
    pub effect: usize,
    pub id: Uuid,
    pub goal_type: GoalType,
    /// Every goal that the enrollment has met.
    pub goal_ids: Vec<Uuid>,
    pub achieved_at: i64,
    pub event_id: Box<str>,
    pub event_source: Box<str>,
    pub event_type: Box<str>,
    pub traceparent: Option<Box<str>>,
    /// When Redis received the event.
    pub received_at: i64,
}

/// A contact was deleted at `time`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    pub tenant_id: Box<str>,
    pub contact_id: Box<str>,
    pub slot: u8,
    pub time: i64,
}

/// The workflow engine executed an exit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    pub tenant_id: Box<str>,
    pub enrollment_id: Box<str>,
    pub contact_id: Box<str>,
    pub workflow_id: Box<str>,
    pub slot: u8,
    pub cancelled_actions: Option<i32>,
    pub time: i64,
}

/// A payment was refunded, or an appointment cancelled: what achieved goals of this type is undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reversal {
    pub tenant_id: Box<str>,
    pub contact_id: Box<str>,
    pub slot: u8,
    pub goal_type: GoalType,
    /// The id of the payment or appointment, if the event has one.
    pub reference: Option<Box<str>>,
    pub time: i64,
}

/// An event that describes its contact. The commit reads its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactEvent {
    pub tenant_id: Box<str>,
    pub contact_id: Box<str>,
    pub slot: u8,
    pub event_type: Box<str>,
    /// Identifies the event within its tenant.
    pub event: Uuid,
    /// Of the event, or when Redis received it if that is earlier.
    pub time: i64,
    /// The event's `data` as JSON.
    pub data: Box<str>,
    /// The time of the event.
    pub dated: i64,
}

/// An event with a list of tags meets goals, unless its contact had some of these tags before (E16).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagCheck {
    pub event: ContactEvent,
    /// The numbers of contact events and of deletions in the proposal that precede it.
    pub contact_events: usize,
    pub deletions: usize,
}

/// An enrollment starts in a workflow with goals that the state of its contact may meet (E22).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateCheck {
    pub tenant_id: Box<str>,
    pub contact_id: Box<str>,
    pub enrollment_id: Box<str>,
    /// The event that started it. Tags and stages of this event do not count (E11).
    pub started_by: Option<Uuid>,
    /// The numbers of contact events and of deletions in the proposal that precede it.
    pub contact_events: usize,
    pub deletions: usize,
}

/// An event that would have counted for enrollments of paused workflows, if it is the first of one of
/// them (E19).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissedEvent {
    pub tenant_id: Box<str>,
    pub contact_id: Box<str>,
    pub slot: u8,
    pub event: Uuid,
    pub source: SourceEntry,
    /// When Redis received it.
    pub received_ms: u64,
    /// The positions of the tags in its list that the contact had before (E16).
    pub old_tags: Box<[u32]>,
}

/// An enrollment of a paused workflow for which an event would have counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissedRun {
    /// The number of the missed event.
    pub number: usize,
    pub workflow_id: Box<str>,
    pub enrollment_id: Box<str>,
}

/// A contact continues under the id of another (E21).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merge {
    pub source: SourceEntry,
    pub tenant_id: Box<str>,
    pub contact_id: Box<str>,
    pub slot: u8,
    pub into_contact_id: Box<str>,
    /// Identifies the event within its tenant.
    pub event: Uuid,
    pub time: i64,
    /// When Redis received the event.
    pub received_at: i64,
    /// The event to pass on, which asks for the runs in their new place.
    pub transfer: Forwarded,
}

/// Events of one buffer that are passed on, because their contacts were merged into contacts of
/// this slot. All are of one contact of one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    /// The index of their buffer.
    pub buffer: usize,
    pub slot: u8,
    /// The merged contact for which Redis received them. Empty if it received them for their contact.
    pub contact: Box<str>,
    /// The merges that moved their contacts after these events, each by when Redis received it.
    pub merges: Box<[i64]>,
    /// A buffer with these events, in order.
    pub bytes: Vec<u8>,
}

/// A start that changes the result if it is a repeat: the refusal of a start beyond the limit of
/// its contact depends on it (E5), or whether an event counted before a later start (E11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoubtfulStart {
    pub tenant_id: Box<str>,
    pub enrollment_id: Box<str>,
    pub contact_id: Box<str>,
    /// When it began: at the latest when it was received.
    pub enrolled_at: i64,
}

/// Events of one tenant and one buffer that were not evaluated, or not to the end, and must be
/// evaluated after this proposal is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deferred {
    pub tenant_id: Box<str>,
    /// The index of their buffer.
    pub buffer: usize,
    pub events: u32,
    /// A buffer with these events, in order.
    pub bytes: Vec<u8>,
}

/// The changes that a batch of events proposes.
#[derive(Debug, Default)]
pub struct Proposal {
    /// The version of the memory that the batch was evaluated against; `apply` refuses others.
    pub(crate) generation: u64,
    /// The number of the proposal, unique in the process.
    pub(crate) number: u64,
    /// Events evaluated, including rejected ones.
    pub events: usize,
    /// Units of work.
    pub work: u64,
    /// The events that wait, those of one tenant in order.
    pub deferred: Vec<Deferred>,
    /// Starts that are rejected because of the limit of their contacts.
    pub refused_starts: usize,
    /// The starts on which these rejections depend, the rejected ones included, and those on
    /// which it depends whether an event counted before a later start.
    pub doubtful_starts: Vec<DoubtfulStart>,
    /// The events on which the result depends, because Postgres may exclude them.
    pub event_checks: Vec<EventCheck>,
    /// The events on which the result depends, because Postgres has ended enrollments of their
    /// contacts.
    pub ended_checks: Vec<EndedCheck>,
    /// The events and the starts on which the result depends, because Postgres has the projections
    /// of their contacts.
    pub tag_checks: Vec<TagCheck>,
    pub state_checks: Vec<StateCheck>,
    /// Events of types that goald does not read.
    pub ignored: usize,
    /// Events of types that goald reads.
    pub events_by_type: BTreeMap<&'static str, usize>,
    pub effects: Vec<Effect>,
    pub achievements: Vec<Achievement>,
    pub exits: Vec<Exit>,
    /// In the order of the events.
    pub used_events: Vec<UsedEvent>,
    pub deletions: Vec<Deletion>,
    pub acknowledgements: Vec<Acknowledgement>,
    pub reversals: Vec<Reversal>,
    /// In the order of the events.
    pub contact_events: Vec<ContactEvent>,
    /// In the order of the events.
    pub missed_events: Vec<MissedEvent>,
    /// In the order of their events.
    pub missed_runs: Vec<MissedRun>,
    pub merges: Vec<Merge>,
    /// The events to pass on when this proposal is committed.
    pub forwarded: Vec<Forwarded>,
    /// Events that are rejected whatever Postgres holds. Whether the contenders of an effect
    /// are rejected depends on the commit.
    pub rejected: Vec<RejectedEvent>,
    /// The changes of executions. `None` if there are none, as in shards without workflows of
    /// goald's own.
    pub executions: Option<Box<ExecutionRows>>,
}

impl Proposal {
    /// Whether there are no rows to commit.
    pub fn changes_nothing(&self) -> bool {
        self.effects.is_empty() && self.transitions().is_empty() && !self.has_unattached_rows()
    }

    /// The transitions of executions.
    pub fn transitions(&self) -> &[Transition] {
        self.executions
            .as_ref()
            .map_or(&[], |rows| &rows.transitions)
    }

    /// Whether there are rows that belong to no effect and no transition: deletions,
    /// acknowledgements, reversals, events that describe contacts, missed events, and rows of the
    /// log of executions.
    pub fn has_unattached_rows(&self) -> bool {
        !self.deletions.is_empty()
            || !self.acknowledgements.is_empty()
            || !self.reversals.is_empty()
            || !self.contact_events.is_empty()
            || !self.missed_events.is_empty()
            || !self.merges.is_empty()
            || self
                .executions
                .as_ref()
                .is_some_and(|rows| rows.has_unattached_rows())
    }
}
