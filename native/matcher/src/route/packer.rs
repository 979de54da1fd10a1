//! Packs stream entries into buffers, by shard.

use super::key::routing_key;
use super::slot::{SLOTS, slot_of};
use crate::buffer::{BufferWriter, parse_entry_id};
use crate::event::limits::FORWARDED_BYTES;
use crate::event::reject::{Reason, Reject};

/// A buffer for one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    pub shard: u8,
    pub bytes: Vec<u8>,
    pub entries: u32,
}

/// Routes entries into buffers of at most `max_bytes`, unless a single entry is larger. Preserves
/// the order of the entries of a shard. Costs a key look-up, a CRC-32 and a copy per entry.
#[derive(Debug)]
pub struct Packer<'t> {
    shard_of_slot: &'t [u8; SLOTS],
    max_bytes: usize,
    /// The unfinished buffer of each shard.
    open: Vec<BufferWriter>,
    full: Vec<Packed>,
}

impl<'t> Packer<'t> {
    #[must_use]
    pub fn new(shard_of_slot: &'t [u8; SLOTS], max_bytes: usize) -> Self {
        Self {
            shard_of_slot,
            max_bytes,
            open: Vec::new(),
            full: Vec::new(),
        }
    }

    /// Adds the entry with this id, `ms-seq`. Fails if the entry cannot be routed.
    pub fn push(&mut self, id: &[u8], event: &[u8]) -> Result<(), Reject> {
        let (ms, seq) = parse_entry_id(id).ok_or(Reject::new(Reason::BadEntryId))?;
        // The dead letter of an event that was passed on (E21) may be sent again.
        if event.len() > FORWARDED_BYTES {
            return Err(Reject::new(Reason::TooLarge));
        }
        let (tenant, contact) = routing_key(event)?;
        let shard = self.shard_of_slot[usize::from(slot_of(&tenant, &contact))];
        let index = usize::from(shard);
        if index >= self.open.len() {
            self.open.resize_with(index + 1, BufferWriter::new);
        }
        let open = &mut self.open[index];
        if !open.is_empty() && open.len() + BufferWriter::entry_len(event.len()) > self.max_bytes {
            self.full.push(pack(shard, std::mem::take(open)));
        }
        open.push(ms, seq, event);
        Ok(())
    }

    /// The buffers, those of a shard in order. None is empty.
    #[must_use]
    pub fn finish(mut self) -> Vec<Packed> {
        for (shard, open) in (0..=u8::MAX).zip(self.open) {
            if !open.is_empty() {
                self.full.push(pack(shard, open));
            }
        }
        self.full
    }
}

/// Routes stream entries (id and event) into one or more buffers per shard, each of at most
/// `max_bytes` unless a single entry is larger. The second value has the entries that cannot be
/// routed, by their index, with the reason.
#[must_use]
pub fn route(
    entries: &[(&[u8], Option<&[u8]>)],
    shard_of_slot: &[u8; SLOTS],
    max_bytes: usize,
) -> (Vec<Packed>, Vec<(usize, Reject)>) {
    let mut packer = Packer::new(shard_of_slot, max_bytes);
    let mut rejects = Vec::new();
    for (index, (id, event)) in entries.iter().enumerate() {
        let pushed = match event {
            Some(event) => packer.push(id, event),
            None => Err(Reject::new(Reason::NoEventField)),
        };
        if let Err(reject) = pushed {
            rejects.push((index, reject));
        }
    }
    (packer.finish(), rejects)
}

fn pack(shard: u8, buffer: BufferWriter) -> Packed {
    let entries = buffer.entries();
    Packed {
        shard,
        bytes: buffer.finish(),
        entries,
    }
}
