//! The net change to one enrollment, and the stream entries behind it.

use uuid::Uuid;

use crate::buffer::{Entry, entry_id};
use crate::event::EndReason;

/// Why an event is rejected that names an enrollment id of another contact or workflow (E5).
pub const OTHER_OWNER: &str = "the enrollment id belongs to another contact or workflow";

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

/// A stream entry of a batch, with the index of its buffer.
#[derive(Debug, Clone, Copy)]
pub struct EntryRef<'a> {
    pub buffer: usize,
    pub entry: Entry<'a>,
}

/// A copy of a stream entry whose event is rejected, or may be after the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceEntry {
    pub buffer: usize,
    pub entry_id: String,
    pub bytes: Vec<u8>,
}

impl From<EntryRef<'_>> for SourceEntry {
    fn from(entry: EntryRef<'_>) -> SourceEntry {
        SourceEntry {
            buffer: entry.buffer,
            entry_id: entry_id(entry.entry.ms, entry.entry.seq),
            bytes: entry.entry.event.into(),
        }
    }
}

/// An event that is dead-lettered (D4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedEvent {
    pub source: SourceEntry,
    pub reason: String,
}

/// An event that names the enrollment id of an effect under another contact or workflow. It is
/// rejected, unless Postgres already has the id under exactly this contact and workflow: then
/// the event is a repeat and changes nothing (D1).
#[derive(Debug, Clone)]
pub struct Contender {
    pub source: SourceEntry,
    pub contact_id: Box<str>,
    pub workflow_id: Box<str>,
}

/// The contact and workflow that an enrollment id belongs to in Postgres (E5).
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    pub contact_id: &'a str,
    pub workflow_id: &'a str,
}

impl Owner<'_> {
    fn is(&self, contact: &str, workflow: &str) -> bool {
        self.contact_id == contact && self.workflow_id == workflow
    }
}

/// The net change to one enrollment.
#[derive(Debug, Clone)]
pub struct Effect {
    pub tenant_id: Box<str>,
    pub enrollment_id: Box<str>,
    pub contact_id: Box<str>,
    pub workflow_id: Box<str>,
    pub slot: u8,
    /// Its record number in the index; `None` if the batch starts the enrollment.
    pub record: Option<u32>,
    /// The status after the batch.
    pub status: Status,
    /// Microseconds since the epoch.
    pub enrolled_at: i64,
    /// The time of the event that ended it, in microseconds since the epoch.
    pub ended_at: Option<i64>,
    /// The goals that the batch meets.
    pub met: Vec<Uuid>,
    pub pending_actions: Option<i32>,
    /// Whether the commit is known to begin no active enrollment: its id exists, or its contact
    /// was deleted later.
    pub is_repeat: bool,
    /// The started and ended events behind a new enrollment.
    pub sources: Vec<SourceEntry>,
    pub contenders: Vec<Contender>,
}

impl Effect {
    /// True: the commit inserts a row. False: it updates an active row.
    pub fn is_new(&self) -> bool {
        self.record.is_none()
    }

    /// Whether one of the contenders is the owner.
    pub fn contender_is_owner(&self, owner: Owner<'_>) -> bool {
        let is_owner =
            |contender: &Contender| owner.is(&contender.contact_id, &contender.workflow_id);
        self.contenders.iter().any(is_owner)
    }

    /// The events that are rejected because of this enrollment id. `owner` is set if Postgres
    /// has the id under another contact or workflow than the effect: then the events behind the
    /// effect are rejected too, and a contender that is the owner is not.
    pub fn rejected(&self, owner: Option<Owner<'_>>) -> impl Iterator<Item = &SourceEntry> {
        let sources = self.sources.iter().filter(move |_| owner.is_some());
        let differs = move |contender: &&Contender| {
            owner.is_none_or(|owner| !owner.is(&contender.contact_id, &contender.workflow_id))
        };
        let contenders = self.contenders.iter().filter(differs);
        sources.chain(contenders.map(|contender| &contender.source))
    }
}
