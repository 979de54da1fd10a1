//! From bytes to an [`Event`]: one pass, no tree, and in the common case no allocation.
//!
//! The pass checks every byte against D9 and keeps where the values of the known attributes
//! and fields are, in whatever order they come ([`envelope`]); then those are read that the
//! event's type needs ([`fact`]). The two encodings differ only in their [`value::Reader`].

mod envelope;
mod fact;
mod id;
mod json;
mod keys;
mod msgpack;
mod to_json;
mod value;
mod walk;

use self::value::Reader;
use crate::event::Event;
use crate::event::reject::Reject;
use crate::wire::Encoding;

/// Decodes an event and checks it against D9; `now_us` judges times more than 24 h ahead.
///
/// The event borrows from `bytes`; only text that JSON escaped and the list of line items are
/// allocated. The error names what is wrong first; nothing panics, whatever the bytes.
pub fn decode(bytes: &[u8], now_us: i64) -> Result<Event<'_>, Reject> {
    match Encoding::of(bytes)? {
        Encoding::MessagePack => fact::read(msgpack::Reader::new(bytes)?, now_us),
        Encoding::Json => fact::read(json::Reader::new(bytes)?, now_us),
    }
}
