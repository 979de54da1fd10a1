//! The changes that a batch of events proposes: rows to be committed to Postgres, and applied
//! to memory afterwards.

mod effect;
mod rows;
mod slice;

pub use effect::{
    Contender, Effect, EntryRef, OTHER_OWNER, Owner, RejectedEvent, SourceEntry, Status,
};
pub use rows::{
    Achievement, Acknowledgement, Deferred, Deletion, Exit, Proposal, Reversal, StartAtLimit,
};
pub use slice::Slice;
