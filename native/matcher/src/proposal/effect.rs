//! The net change to one enrollment, and the stream entries behind it.

use uuid::Uuid;

use crate::buffer::{Entry, entry_id};
use crate::event::{EndReason, MatchValues};

/// Why an event is rejected that names an enrollment id of another contact or workflow (E5).
pub const OTHER_OWNER: &str = "the enrollment id belongs to another contact or workflow";

/// Why a start is rejected whose enrollment id was used by an enrollment that has ended (E12).
pub const USED_ID: &str = "the enrollment with this enrollment_id has ended; to enroll the contact \
                           again, use a new enrollment_id";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Active,
    CompletedGoal,
    Completed,
    Exited,
    Cancelled,
}

impl Status {
    /// The status with this name, of an enrollment that ended otherwise than by its goals.
    pub fn ended(name: &str) -> Option<Status> {
        [Status::Completed, Status::Exited, Status::Cancelled]
            .into_iter()
            .find(|status| status.name() == name)
    }

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

/// A started or ended event behind a new enrollment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrollmentSource {
    pub source: SourceEntry,
    /// Of a start that is refused if its enrollment id was used at another time (E12).
    pub enrolled_at: Option<i64>,
    /// When the enrollment of a start began: at the latest when the start was received.
    pub began_at: i64,
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
    pub source: EnrollmentSource,
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

/// An enrollment in Postgres that had ended before the batch (E12).
#[derive(Debug, Clone, Copy)]
pub struct EndedRun {
    pub enrolled_at: i64,
    /// A start of an enrollment that began at or before this time changes nothing and is not
    /// refused.
    pub accepted_until: Option<i64>,
}

impl EndedRun {
    fn refuses(&self, source: &EnrollmentSource) -> bool {
        source.enrolled_at.is_some_and(|at| {
            at != self.enrolled_at
                && self
                    .accepted_until
                    .is_none_or(|until| source.began_at > until)
        })
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
    /// The enrollment had ended, and meets goals by events that arrived later (E18). The effect
    /// changes neither its status nor memory.
    pub after_end: bool,
    /// The status after the batch.
    pub status: Status,
    /// Microseconds since the epoch.
    pub enrolled_at: i64,
    /// The time of the event that ended it, in microseconds since the epoch. With `after_end`, of
    /// the event with which its goals are met.
    pub ended_at: Option<i64>,
    /// The goals that the batch meets.
    pub met: Vec<Uuid>,
    pub pending_actions: Option<i32>,
    /// When Redis received the start, in microseconds since the epoch, if the batch starts the
    /// enrollment and `enrolled_at` is later; `enrolled_at`, if the enrollment had started and ended
    /// no later than that. `None`: it begins at `enrolled_at`.
    pub received_at: Option<i64>,
    /// The merges that moved the contact of a new enrollment after its start, each by when Redis
    /// received it.
    pub merges: Box<[i64]>,
    /// Whether the commit is known to begin no active enrollment: its id exists, or its contact
    /// was deleted later.
    pub is_repeat: bool,
    /// The event that started a new enrollment: it never counts for it (E11).
    pub started_by: Option<Uuid>,
    /// The values that a new enrollment carries (E17).
    pub match_values: Option<MatchValues>,
    /// How many events had counted in the batch for the contact in this workflow when a new
    /// enrollment started (E11), and the last of them.
    pub used_before: usize,
    pub after_event: Option<Uuid>,
    /// The started and ended events behind a new enrollment.
    pub sources: Vec<EnrollmentSource>,
    pub contenders: Vec<Contender>,
}

impl Effect {
    /// True: the commit inserts a row. False: it updates an active row.
    pub fn is_new(&self) -> bool {
        self.record.is_none() && !self.after_end
    }

    /// Whether the enrollment has ended otherwise than by its goals, and goals may watch it (E18).
    /// If only its end is known, it is not known when it began.
    pub fn may_be_watched(&self) -> bool {
        !matches!(self.status, Status::Active | Status::CompletedGoal)
            && (self.received_at.is_some() || self.ended_at.is_some_and(|at| at > self.enrolled_at))
    }

    /// Whether Postgres may know events that do not count for a new enrollment, whatever counted
    /// before (E11, E21).
    pub fn excludes(&self) -> bool {
        self.started_by.is_some() || !self.merges.is_empty()
    }

    /// The contact and the workflow of the run: in it, one event counts once (E11).
    pub fn runs(&self) -> (&str, &str, &str) {
        (&self.tenant_id, &self.contact_id, &self.workflow_id)
    }

    /// When the enrollment began: at the latest when its start was received.
    pub fn began_at(&self) -> i64 {
        self.received_at.unwrap_or(self.enrolled_at)
    }

    /// Whether one of the contenders is the owner.
    pub fn contender_is_owner(&self, owner: Owner<'_>) -> bool {
        let is_owner =
            |contender: &Contender| owner.is(&contender.contact_id, &contender.workflow_id);
        self.contenders.iter().any(is_owner)
    }

    /// The events that are rejected because of this enrollment id, with the reason. `owner` is set
    /// if Postgres has the id under another contact or workflow than the effect: then the events
    /// behind the effect are rejected too, and a contender that is the owner is not. `ended` is set
    /// if the enrollment in Postgres had ended: then its owner's starts at another time are
    /// rejected.
    pub fn rejected(
        &self,
        owner: Option<Owner<'_>>,
        ended: Option<EndedRun>,
    ) -> impl Iterator<Item = (&SourceEntry, &'static str)> {
        let reason = move |source: &EnrollmentSource, is_owner: bool| {
            let refuses = || ended.is_some_and(|run| run.refuses(source));
            if is_owner {
                refuses().then_some(USED_ID)
            } else {
                Some(OTHER_OWNER)
            }
        };
        let sources = self.sources.iter();
        let sources = sources.map(move |source| (source, owner.is_none()));
        let contenders = self.contenders.iter().map(move |contender| {
            let is_owner =
                owner.is_some_and(|owner| owner.is(&contender.contact_id, &contender.workflow_id));
            (&contender.source, is_owner)
        });
        sources
            .chain(contenders)
            .filter_map(move |(source, is_owner)| {
                reason(source, is_owner).map(|reason| (&source.source, reason))
            })
    }
}
