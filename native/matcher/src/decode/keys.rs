//! The keys of one map, to find one that is there twice.

use arrayvec::ArrayVec;

use super::value::{Kind, Reader, Span};
use crate::event::limits::MAP_KEYS;
use crate::event::reject::{Reason, Reject};
use crate::wire::unescape;

/// At most 64 keys, on the stack. A new key is held against a mark of each earlier one (eight
/// bytes: made of its length, its first and its last bytes) and only where marks agree byte
/// by byte: for the usual handful of keys some nanoseconds. Keys with escapes are compared at
/// the map's end, sorted, with one allocation each.
pub(super) struct Keys<'a> {
    marks: ArrayVec<u64, MAP_KEYS>,
    keys: ArrayVec<&'a str, MAP_KEYS>,
    escaped: bool,
}

impl<'a> Keys<'a> {
    #[inline]
    pub fn new() -> Self {
        Self {
            marks: ArrayVec::new(),
            keys: ArrayVec::new(),
            escaped: false,
        }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Checks a key and takes it; the error may be that it is there already.
    #[inline]
    pub fn add<R: Reader<'a>>(&mut self, reader: &R, span: Span) -> Result<(), Reject> {
        reader.check_key(span)?;
        let key = reader.raw_text(span);
        let mark = mark(key.as_bytes());
        for (index, earlier) in self.marks.iter().enumerate() {
            if *earlier == mark && self.keys[index] == key {
                return Err(Reject::at(span.start(), Reason::DuplicateKey));
            }
        }
        let room = self.marks.try_push(mark).is_ok() && self.keys.try_push(key).is_ok();
        if !room {
            return Err(Reject::at(span.start(), Reason::TooManyKeys));
        }
        self.escaped |= span.kind() == Kind::Escaped;
        Ok(())
    }

    /// At the map's end: the same for keys that differ only by their escapes.
    #[inline]
    pub fn check(&self) -> Result<(), Reject> {
        if self.escaped {
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
fn mark(key: &[u8]) -> u64 {
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
