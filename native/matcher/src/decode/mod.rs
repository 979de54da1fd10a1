//! Decodes bytes into an [`Event`]: one pass, no tree, and usually no allocation.
//!
//! The pass checks that the event is well-formed and records the spans of the known attributes and
//! fields, in any order ([`envelope`]). Then the fields are read that the event's type needs, and
//! their limits checked ([`fact`]); other fields refuse nothing (E14). The two encodings differ only
//! in their [`value::Reader`].

mod envelope;
mod fact;
mod id;
mod json;
mod match_values;
mod members;
mod msgpack;
mod scalars;
mod tags;
mod to_json;
mod value;
mod walk;

use self::value::Reader;

pub use self::match_values::EventValues;
pub use self::members::Members;
use crate::event::Event;
use crate::event::reject::Reject;
use crate::wire::Encoding;

/// Decodes an event and checks it against the limits (D9). `now_us` is the current time, for the
/// limit on times in the future.
///
/// The event borrows from `bytes`; only JSON text with escapes and the list of line items are
/// allocated. Returns the first error. Never panics, on any input.
pub fn decode(bytes: &[u8], now_us: i64) -> Result<Event<'_>, Reject> {
    match Encoding::of(bytes)? {
        Encoding::MessagePack => fact::read(msgpack::Reader::new(bytes)?, now_us),
        Encoding::Json => fact::read(json::Reader::new(bytes)?, now_us),
    }
}
