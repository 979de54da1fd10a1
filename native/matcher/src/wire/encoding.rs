//! Which encoding an event is in.

use crate::event::limits::EVENT_BYTES;
use crate::event::reject::{Reason, Reject};

/// The two encodings of the envelope.
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
