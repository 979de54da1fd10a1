//! The changes that a batch of events proposes: rows to be committed to Postgres, and applied
//! to memory afterwards.

mod effect;
mod execution;
mod forwarded;
mod rows;
mod slice;
mod units;

pub use effect::{
    Contender, Effect, EndedRun, EnrollmentSource, EntryRef, OTHER_OWNER, Owner, RejectedEvent,
    SourceEntry, Status, USED_ID,
};
pub use execution::{
    Answer, CancelReason, ContactCheck, Delay, End, ExecutionRows, Guard, Job, LogRow,
    Notification, Request, RequestSource, StartCheck, Subject, Transition,
};
pub use forwarded::ForwardedEvents;
pub use rows::{
    Achievement, Acknowledgement, ContactEvent, Deferred, Deletion, DoubtfulStart, EndedCheck,
    EventCheck, Exit, Forwarded, Merge, MissedEvent, MissedRun, Proposal, Reversal, StateCheck,
    TagCheck, UsedEvent,
};
pub use slice::Slice;
