//! Detection of an event's encoding.

use crate::event::limits::FORWARDED_BYTES;
use crate::event::reject::{Reason, Reject};

/// The two encodings of the envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    MessagePack,
    Json,
}

impl Encoding {
    /// Detects the encoding by the first byte: a MessagePack map, or a JSON object that may
    /// follow whitespace. The limit is that of events that are passed on (E21); the router and the
    /// intake check that of events that arrive.
    #[inline]
    pub(crate) fn of(bytes: &[u8]) -> Result<Self, Reject> {
        if bytes.len() > FORWARDED_BYTES {
            return Err(Reject::new(Reason::TooLarge));
        }
        match bytes.first() {
            Some(0x80..=0x8f | 0xde | 0xdf) => Ok(Self::MessagePack),
            Some(b'{' | b' ' | b'\t' | b'\n' | b'\r') => Ok(Self::Json),
            _ => Err(Reject::new(Reason::NotAnEvent)),
        }
    }
}
