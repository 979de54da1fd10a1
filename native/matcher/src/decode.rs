//! From bytes to an [`Event`]: one pass, no tree, and in the common case no allocation.
//!
//! The pass checks every byte against D9 and keeps where the values of the known attributes
//! and fields are, in whatever order they come ([`envelope`]); then those are read that the
//! event's type needs ([`fact`]). The two encodings differ only in their [`value::Reader`].

mod envelope;
mod fact;
mod field;
mod json;
mod json_text;
mod keys;
mod msgpack;
mod scan;
mod to_json;
mod value;

pub use field::Field;

pub(crate) use json_text::unescape;
pub(crate) use scan::{is_printable_ascii, plain_text, string_stop};

use self::value::Reader;
use crate::event::Event;
use crate::limits::EVENT_BYTES;
use crate::reject::{Reason, Reject};

/// The two encodings of the envelope (§3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    MessagePack,
    Json,
}

impl Encoding {
    /// Told by the first byte: a map of MessagePack, or JSON's brace or a blank before it.
    #[inline]
    pub(crate) fn of(bytes: &[u8]) -> Result<Self, Reject> {
        if bytes.len() > EVENT_BYTES {
            return Err(Reject::new(Reason::TooLarge));
        }
        match bytes.first() {
            Some(0x80..=0x8f | 0xde | 0xdf) => Ok(Self::MessagePack),
            Some(b'{' | b' ' | b'\t' | b'\n' | b'\r') => Ok(Self::Json),
            _ => Err(Reject::new(Reason::NotAnEvent)),
        }
    }
}

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
