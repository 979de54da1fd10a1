//! Which slot an event belongs to, found in its raw bytes.
//!
//! Nothing is checked here that the way to the two ids does not need: the engine decodes the
//! event, and refuses what is wrong with it. What `decode` accepts, `routing_key` finds the
//! same ids in.

mod json;
mod key;
mod msgpack;
mod packer;
mod slot;

pub use key::routing_key;
pub use packer::{Packed, Packer, route};
pub use slot::{SLOTS, slot_of};
