//! Routing: finds the slot of an event in its raw bytes and packs the entries for each shard.
//!
//! Routing reads no further than it needs to find the two ids. The shard decodes the event and
//! rejects it if anything else is wrong. For every event that `decode` accepts, `routing_key`
//! finds the same ids.

mod json;
mod key;
mod msgpack;
mod packer;
mod rewrite;
mod slot;

pub use key::routing_key;
pub use packer::{Packed, Packer, route};
pub use rewrite::with_contact;
pub use slot::{SLOTS, slot_of};
