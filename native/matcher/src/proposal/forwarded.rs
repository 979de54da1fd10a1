//! Collects the events of a batch that are passed on to other contacts (E21).

use std::collections::BTreeMap;

use super::effect::EntryRef;
use super::rows::Forwarded;
use crate::buffer::BufferWriter;

/// The events for other contacts, by buffer and by slot, in order.
#[derive(Debug, Default)]
pub struct ForwardedEvents(BTreeMap<(usize, u8), BufferWriter>);

impl ForwardedEvents {
    /// Adds an event of this slot, in the place of `entry`.
    pub fn push(&mut self, entry: EntryRef<'_>, slot: u8, event: &[u8]) {
        let writer = self.0.entry((entry.buffer, slot)).or_default();
        writer.push(entry.entry.ms, entry.entry.seq, event);
    }

    /// One row for each buffer and slot.
    pub fn finish(self) -> Vec<Forwarded> {
        let forwarded = |((buffer, slot), writer): ((usize, u8), BufferWriter)| Forwarded {
            buffer,
            slot,
            bytes: writer.finish(),
        };
        self.0.into_iter().map(forwarded).collect()
    }
}
