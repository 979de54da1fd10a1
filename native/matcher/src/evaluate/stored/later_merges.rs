//! The merges that followed the events of a batch (E21).
//!
//! An event counts for the enrollments that its contact had when Redis received it. If contacts were
//! merged since, the merges that moved the contact of the event and those that moved the enrollment
//! must be the same from then on. A merge is identified by when Redis received it.

use ahash::RandomState;
use hashbrown::HashMap;

/// The merges by the index of a buffer.
#[derive(Debug, Default)]
pub struct LaterMerges<'m>(HashMap<usize, &'m [i64], RandomState>);

impl<'m> LaterMerges<'m> {
    /// `merges`: see `EvaluateOptions`.
    pub fn new(merges: &'m [(usize, Vec<i64>)]) -> LaterMerges<'m> {
        let rows = merges.iter();
        LaterMerges(rows.map(|(buffer, merges)| (*buffer, &**merges)).collect())
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The merges that followed the events of a buffer, in order.
    pub fn of(&self, buffer: usize) -> &'m [i64] {
        self.0.get(&buffer).copied().unwrap_or_default()
    }
}

/// The first of these merges after a time.
pub fn next(merges: &[i64], after: i64) -> Option<i64> {
    merges.iter().copied().find(|merge| *merge > after)
}
