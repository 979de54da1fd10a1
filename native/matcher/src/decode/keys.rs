//! The keys of one map, to detect duplicates.

use arrayvec::ArrayVec;

use super::value::{Kind, Reader, Span};
use crate::event::limits::MAP_KEYS;
use crate::event::reject::{Reason, Reject};
use crate::wire::unescape;

/// At most 64 keys, on the stack. A new key is compared with the fingerprints of the earlier ones
/// (eight bytes of the length and the first and last bytes), and byte by byte only if fingerprints
/// are equal. That takes some nanoseconds for the usual number of keys. If a key has escapes, all
/// keys are compared at the end of the map, sorted, with one allocation each.
pub(super) struct Keys<'a> {
    fingerprints: ArrayVec<u64, MAP_KEYS>,
    keys: ArrayVec<&'a str, MAP_KEYS>,
    has_escapes: bool,
}

impl<'a> Keys<'a> {
    #[inline]
    pub fn new() -> Self {
        Self {
            fingerprints: ArrayVec::new(),
            keys: ArrayVec::new(),
            has_escapes: false,
        }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Checks a key and adds it. Fails if it is invalid or a duplicate.
    #[inline]
    pub fn add<R: Reader<'a>>(&mut self, reader: &R, span: Span) -> Result<(), Reject> {
        reader.check_key(span)?;
        let key = reader.raw_text(span);
        let fingerprint = fingerprint(key.as_bytes());
        for (index, earlier) in self.fingerprints.iter().enumerate() {
            if *earlier == fingerprint && self.keys[index] == key {
                return Err(Reject::at(span.start(), Reason::DuplicateKey));
            }
        }
        let has_room =
            self.fingerprints.try_push(fingerprint).is_ok() && self.keys.try_push(key).is_ok();
        if !has_room {
            return Err(Reject::at(span.start(), Reason::TooManyKeys));
        }
        self.has_escapes |= span.kind() == Kind::Escaped;
        Ok(())
    }

    /// Detects keys that differ only by their escapes. Called at the end of the map.
    #[inline]
    pub fn check(&self) -> Result<(), Reject> {
        if self.has_escapes {
            self.check_escaped()
        } else {
            Ok(())
        }
    }

    #[cold]
    fn check_escaped(&self) -> Result<(), Reject> {
        let mut texts: Vec<_> = self.keys.iter().map(|key| unescape(key).ok()).collect();
        texts.sort_unstable();
        if texts.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Reject::new(Reason::DuplicateKey));
        }
        Ok(())
    }
}

#[inline]
fn fingerprint(key: &[u8]) -> u64 {
    let (first, last) = match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => match (key.first_chunk::<4>(), key.last_chunk::<4>()) {
            (Some(first), Some(last)) => (
                u32::from_le_bytes(*first).into(),
                u32::from_le_bytes(*last).into(),
            ),
            _ => (
                key.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
                0,
            ),
        },
    };
    (first ^ key.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ last
}
