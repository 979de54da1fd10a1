//! Which slot an event belongs to, found in its raw bytes.
//!
//! Nothing is checked here that the way to the two ids does not need: the engine decodes the
//! event, and refuses what is wrong with it. What `decode` accepts, `routing_key` finds the
//! same ids in.

mod json;
mod msgpack;
mod packer;

pub use packer::{Packed, Packer};

use crate::decode::Encoding;
use crate::event::Text;
use crate::reject::Reject;

/// The fixed number of partitions of (tenant, contact).
pub const SLOTS: usize = 256;

/// Finds `tenantid` and `data.contact_id` by passing over the rest, and stops where both are
/// found. The error says what is in the way. Never panics, and looks at each byte at most once.
pub fn routing_key(bytes: &[u8]) -> Result<(Text<'_>, Text<'_>), Reject> {
    match Encoding::of(bytes)? {
        Encoding::MessagePack => msgpack::routing_key(bytes),
        Encoding::Json => json::routing_key(bytes),
    }
}

/// The slot of a contact: zlib's CRC-32 of tenant, 0x1F and contact in UTF-8, mod 256.
#[must_use]
pub fn slot_of(tenant: &str, contact: &str) -> u8 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(tenant.as_bytes());
    hasher.update(&[0x1f]);
    hasher.update(contact.as_bytes());
    hasher.finalize().to_le_bytes()[0]
}
