//! Collects the events of a batch that are passed on to other contacts (E21).

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::effect::EntryRef;
use super::rows::Forwarded;
use crate::buffer::BufferWriter;

/// The buffer and slot of events, and the merges that followed them.
type Place = (usize, u8, Reverse<usize>, Box<[i64]>);

/// The events for other contacts, in order: by buffer, by slot, and by the merges that followed them.
/// Later events of a contact have fewer of these, so they come later. Each place has a row for each
/// sequence of events of one merged contact.
#[derive(Debug, Default)]
pub struct ForwardedEvents(BTreeMap<Place, Vec<Row>>);

#[derive(Debug)]
struct Row {
    tenant: Box<str>,
    contact: Box<str>,
    events: BufferWriter,
}

impl ForwardedEvents {
    /// Adds an event of this slot, in the place of `entry`. `merges` and `contact`: see `Forwarded`.
    pub fn push(
        &mut self,
        entry: EntryRef<'_>,
        slot: u8,
        merges: Box<[i64]>,
        (tenant, contact): (&str, &str),
        event: &[u8],
    ) {
        let place = (entry.buffer, slot, Reverse(merges.len()), merges);
        let rows = self.0.entry(place).or_default();
        let of_last = rows.last().map(|row| (&*row.tenant, &*row.contact));
        if of_last != Some((tenant, contact)) {
            rows.push(Row {
                tenant: tenant.into(),
                contact: contact.into(),
                events: BufferWriter::new(),
            });
        }
        if let Some(row) = rows.last_mut() {
            row.events.push(entry.entry.ms, entry.entry.seq, event);
        }
    }

    pub fn finish(self) -> Vec<Forwarded> {
        let places = self.0.into_iter();
        let rows = places.flat_map(|((buffer, slot, _, merges), rows)| {
            rows.into_iter().map(move |row| Forwarded {
                buffer,
                slot,
                contact: row.contact,
                merges: merges.clone(),
                bytes: row.events.finish(),
            })
        });
        rows.collect()
    }
}
