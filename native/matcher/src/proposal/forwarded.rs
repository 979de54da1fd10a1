//! Collects the events of a batch that are passed on to other contacts (E21).

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::effect::EntryRef;
use super::rows::Forwarded;
use crate::buffer::BufferWriter;

/// The events for other contacts, in order: by buffer, by slot, and by the merges that followed them.
/// Later events of a contact have fewer of these, so they come later.
#[derive(Debug, Default)]
pub struct ForwardedEvents(BTreeMap<(usize, u8, Reverse<usize>, Box<[i64]>), BufferWriter>);

impl ForwardedEvents {
    /// Adds an event of this slot, in the place of `entry`. `merges`: see `Forwarded`.
    pub fn push(&mut self, entry: EntryRef<'_>, slot: u8, merges: Box<[i64]>, event: &[u8]) {
        let key = (entry.buffer, slot, Reverse(merges.len()), merges);
        let writer = self.0.entry(key).or_default();
        writer.push(entry.entry.ms, entry.entry.seq, event);
    }

    /// One row for each buffer, slot and list of merges.
    pub fn finish(self) -> Vec<Forwarded> {
        let rows = self.0.into_iter();
        rows.map(|((buffer, slot, _, merges), writer)| Forwarded {
            buffer,
            slot,
            merges,
            bytes: writer.finish(),
        })
        .collect()
    }
}
