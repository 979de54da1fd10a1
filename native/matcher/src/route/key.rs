//! The routing key of an event, in either encoding.

use super::{json, msgpack};
use crate::event::Text;
use crate::event::reject::Reject;
use crate::wire::Encoding;

/// Finds `tenantid` and `data.contact_id`. Skips everything else, and stops when it has both.
/// Reads each byte at most once. Never panics, on any input.
pub fn routing_key(bytes: &[u8]) -> Result<(Text<'_>, Text<'_>), Reject> {
    match Encoding::of(bytes)? {
        Encoding::MessagePack => msgpack::routing_key(bytes),
        Encoding::Json => json::routing_key(bytes),
    }
}
