//! What a batch of events would change: rows to be written, and to be taken once they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::buffer::{Entry, entry_id};
use crate::criteria::GoalType;
use crate::event::EndReason;

/// Why an event about a known enrollment is refused (E5).
pub const OTHER_OWNER: &str = "the enrollment id is known under another contact or workflow";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Active,
    CompletedGoal,
    Completed,
    Exited,
    Cancelled,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Status::Active => "active",
            Status::CompletedGoal => "completed_goal",
            Status::Completed => "completed",
            Status::Exited => "exited",
            Status::Cancelled => "cancelled",
        }
    }
}

impl From<EndReason> for Status {
    fn from(reason: EndReason) -> Status {
        match reason {
            EndReason::Completed => Status::Completed,
            EndReason::Exited => Status::Exited,
            EndReason::Cancelled => Status::Cancelled,
        }
    }
}

/// An entry of a batch: the index of its buffer, and itself.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub buffer: usize,
    pub entry: Entry<'a>,
}

/// A copy of an entry, for an event that is refused or may yet be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub buffer: usize,
    pub entry_id: String,
    pub bytes: Vec<u8>,
}

impl From<Place<'_>> for Source {
    fn from(place: Place<'_>) -> Source {
        Source {
            buffer: place.buffer,
            entry_id: entry_id(place.entry.ms, place.entry.seq),
            bytes: place.entry.event.into(),
        }
    }
}

/// An event that is refused (D4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub source: Source,
    pub reason: String,
}

/// An event that names an enrollment id under another contact or workflow than an earlier one of
/// the batch did, which brought it. It is refused, unless Postgres says whose the id is and means
/// this one: then it is a repeat, and changes nothing (D1).
#[derive(Debug, Clone)]
pub struct Rival {
    pub source: Source,
    pub contact_id: Box<str>,
    pub workflow_id: Box<str>,
}

/// Whose an enrollment id is in Postgres that an effect would have taken (E5).
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    pub contact_id: &'a str,
    pub workflow_id: &'a str,
}

/// The net change to one enrollment.
#[derive(Debug, Clone)]
pub struct Effect {
    pub tenant_id: Box<str>,
    pub enrollment_id: Box<str>,
    pub contact_id: Box<str>,
    pub workflow_id: Box<str>,
    pub slot: u8,
    /// Its place in the index; `None` where the batch brought it.
    pub held: Option<u32>,
    pub status: Status,
    pub enrolled_at: i64,
    /// The time of the event that ended it.
    pub ended_at: Option<i64>,
    /// Goals newly met.
    pub met: Vec<Uuid>,
    pub pending_actions: Option<i32>,
    /// The started and ended events behind a new enrollment.
    pub sources: Vec<Source>,
    pub rivals: Vec<Rival>,
}

impl Effect {
    /// Whether it is a row to be inserted; else an active row is to be updated.
    pub fn is_new(&self) -> bool {
        self.held.is_none()
    }

    /// Whether one of the rivals is the owner.
    pub fn has_rightful(&self, owner: Owner<'_>) -> bool {
        let is_owner = |rival: &Rival| owner.is(&rival.contact_id, &rival.workflow_id);
        self.rivals.iter().any(is_owner)
    }

    /// The events about this enrollment id that are refused. `owner`: where Postgres has it under
    /// another contact or workflow than the effect; then the events behind it are, too.
    pub fn refused(&self, owner: Option<Owner<'_>>) -> Vec<Refused> {
        let sources = self.sources.iter().filter(|_| owner.is_some());
        let differs = |rival: &&Rival| {
            owner.is_none_or(|owner| !owner.is(&rival.contact_id, &rival.workflow_id))
        };
        let rivals = self.rivals.iter().filter(differs);
        sources
            .chain(rivals.map(|rival| &rival.source))
            .map(|source| Refused {
                source: source.clone(),
                reason: OTHER_OWNER.into(),
            })
            .collect()
    }
}

impl Owner<'_> {
    fn is(&self, contact: &str, workflow: &str) -> bool {
        self.contact_id == contact && self.workflow_id == workflow
    }
}

/// An enrollment met a goal.
#[derive(Debug, Clone)]
pub struct Achievement {
    pub effect: usize,
    pub id: Uuid,
    pub goal_id: Uuid,
    pub goal_type: GoalType,
    pub achieved_at: i64,
    /// The event's `data` as JSON; one text for all that the event achieved.
    pub trigger_event: Arc<str>,
    pub metadata: Arc<str>,
}

/// An enrollment leaves because its goals are met.
#[derive(Debug, Clone)]
pub struct Exit {
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

/// An engine has carried out an exit.
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

/// Effects, and what hangs on them by their index.
#[derive(Debug, Default)]
pub struct Proposal {
    /// The state of memory that it was made from.
    pub(crate) generation: u64,
    /// Its own number, that no other proposal of the process has.
    pub(crate) number: u64,
    /// Events read, bad ones included.
    pub events: usize,
    /// Events of types that goald does not read.
    pub passed_over: usize,
    /// Events of types that it does read.
    pub events_by_type: BTreeMap<&'static str, usize>,
    pub effects: Vec<Effect>,
    pub achievements: Vec<Achievement>,
    pub exits: Vec<Exit>,
    pub deletions: Vec<Deletion>,
    pub acknowledgements: Vec<Acknowledgement>,
    /// Whatever Postgres says; the rivals of an effect depend on it.
    pub refused: Vec<Refused>,
}

impl Proposal {
    /// No effects, deletions or acknowledgements.
    pub fn changes_nothing(&self) -> bool {
        self.effects.is_empty() && self.deletions.is_empty() && self.acknowledgements.is_empty()
    }
}
