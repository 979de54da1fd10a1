//! Ids in the form in which the index stores them: 16 bytes each, whatever their length.
//!
//! A UUID in canonical form (36 characters, lower case) is stored as its 16 bytes. Any other
//! text of at most 15 bytes is stored inline. Longer text is stored in `LongIds` and referenced
//! by number. All three return exactly the original text.

use std::hash::{Hash, Hasher};

/// The positions of the dashes of a canonical UUID.
const DASHES: [usize; 4] = [8, 13, 18, 23];
/// The groups of digits: the first digit of each, and its place in the text.
const GROUPS: [(usize, (usize, usize)); 5] = [
    (0, (0, 8)),
    (8, (9, 13)),
    (12, (14, 18)),
    (16, (19, 23)),
    (20, (24, 36)),
];
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The longest text that is stored inline. The last byte is its length.
const SHORT: usize = 15;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Uuid = 0,
    Short = 1,
    Long = 2,
}

/// An id to look up, borrowed from an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key<'a> {
    Uuid([u8; 16]),
    Short([u8; 16]),
    Long(&'a str),
}

impl<'a> Key<'a> {
    #[inline]
    pub fn of(text: &'a str) -> Key<'a> {
        if let Some(bytes) = uuid_bytes(text.as_bytes()) {
            return Key::Uuid(bytes);
        }
        if text.len() <= SHORT {
            let mut bytes = [0; 16];
            bytes[..text.len()].copy_from_slice(text.as_bytes());
            bytes[SHORT] = text.len() as u8;
            return Key::Short(bytes);
        }
        Key::Long(text)
    }
}

impl Hash for Key<'_> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        // A short id with the bytes of a UUID shares its hash, and its kind distinguishes it.
        // At most two such ids can collide.
        match self {
            Key::Uuid(bytes) | Key::Short(bytes) => state.write_u128(u128::from_le_bytes(*bytes)),
            Key::Long(text) => state.write(text.as_bytes()),
        }
    }
}

/// A number below 2^29, a mark and the kind of an id, in four bytes.
#[derive(Debug, Clone, Copy)]
pub struct Tagged(u32);

const MARK: u32 = 1 << 2;

impl Tagged {
    /// Without a mark.
    pub fn new(number: u32, kind: Kind) -> Tagged {
        assert!(number < 1 << 29, "the index is limited to 2^29 names");
        Tagged(number << 3 | kind as u32)
    }

    pub fn marked(self) -> Tagged {
        Tagged(self.0 | MARK)
    }

    #[inline]
    pub fn is_marked(self) -> bool {
        self.0 & MARK != 0
    }

    #[inline]
    pub fn number(self) -> u32 {
        self.0 >> 3
    }

    #[inline]
    pub fn kind(self) -> Kind {
        match self.0 & 3 {
            0 => Kind::Uuid,
            1 => Kind::Short,
            _ => Kind::Long,
        }
    }
}

/// Ids that are neither UUIDs nor short. Each takes 16 bytes and an allocation. Releasing an id
/// frees the allocation and makes its number available again.
#[derive(Debug, Default)]
pub struct LongIds {
    texts: Vec<Box<str>>,
    free: Vec<u32>,
}

impl LongIds {
    /// The 16 bytes and the kind that a record stores for this id.
    pub fn intern(&mut self, key: Key<'_>) -> ([u8; 16], Kind) {
        match key {
            Key::Uuid(bytes) => (bytes, Kind::Uuid),
            Key::Short(bytes) => (bytes, Kind::Short),
            Key::Long(text) => {
                let at = if let Some(at) = self.free.pop() {
                    self.texts[at as usize] = text.into();
                    at
                } else {
                    self.texts.push(text.into());
                    (self.texts.len() - 1) as u32
                };
                let mut bytes = [0; 16];
                bytes[..4].copy_from_slice(&at.to_le_bytes());
                (bytes, Kind::Long)
            }
        }
    }

    /// The id that was interned.
    #[inline]
    pub fn key<'a>(&'a self, bytes: &[u8; 16], kind: Kind) -> Key<'a> {
        match kind {
            Kind::Uuid => Key::Uuid(*bytes),
            Kind::Short => Key::Short(*bytes),
            Kind::Long => Key::Long(&self.texts[number(bytes)]),
        }
    }

    #[inline]
    pub fn matches(&self, bytes: &[u8; 16], kind: Kind, key: Key<'_>) -> bool {
        match key {
            Key::Uuid(other) => kind == Kind::Uuid && *bytes == other,
            Key::Short(other) => kind == Kind::Short && *bytes == other,
            Key::Long(other) => kind == Kind::Long && *self.texts[number(bytes)] == *other,
        }
    }

    /// The original text of an id.
    pub fn text(&self, bytes: &[u8; 16], kind: Kind) -> String {
        match kind {
            Kind::Uuid => uuid_text(bytes),
            Kind::Short => {
                String::from_utf8_lossy(&bytes[..usize::from(bytes[SHORT])]).into_owned()
            }
            Kind::Long => self.texts[number(bytes)].to_string(),
        }
    }

    pub fn release(&mut self, bytes: &[u8; 16], kind: Kind) {
        if kind == Kind::Long {
            self.texts[number(bytes)] = Box::default();
            self.free.push(number(bytes) as u32);
        }
    }

    /// Bytes of memory in use.
    pub fn bytes(&self) -> usize {
        let texts: usize = self.texts.iter().map(|text| text.len()).sum();
        texts + self.texts.capacity() * size_of::<Box<str>>() + self.free.capacity() * 4
    }
}

#[inline]
fn number(bytes: &[u8; 16]) -> usize {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize
}

/// The 16 bytes of a UUID in canonical form; `None` for any other text.
#[inline]
pub fn uuid_bytes(text: &[u8]) -> Option<[u8; 16]> {
    let text: &[u8; 36] = text.try_into().ok()?;
    if DASHES.iter().any(|&at| text[at] != b'-') {
        return None;
    }
    // The loops have no branches and fixed lengths, so that they become vector instructions.
    let mut digits = [0; 32];
    for (group, (from, to)) in GROUPS {
        digits[group..group + to - from].copy_from_slice(&text[from..to]);
    }
    let mut is_valid = true;
    for digit in &mut digits {
        let (decimal, alpha) = (digit.wrapping_sub(b'0'), digit.wrapping_sub(b'a'));
        is_valid &= (decimal < 10) | (alpha < 6);
        *digit = if decimal < 10 {
            decimal
        } else {
            alpha.wrapping_add(10)
        };
    }
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair[0] << 4 | pair[1];
    }
    is_valid.then_some(bytes)
}

/// The canonical form of a UUID.
pub fn uuid_text(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (position, byte) in bytes.iter().enumerate() {
        if matches!(position, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(text: &str) -> (String, Kind) {
        let mut long = LongIds::default();
        let (bytes, kind) = long.intern(Key::of(text));
        assert!(long.matches(&bytes, kind, Key::of(text)));
        assert_eq!(long.key(&bytes, kind), Key::of(text));
        (long.text(&bytes, kind), kind)
    }

    #[test]
    fn only_a_canonical_uuid_is_stored_as_16_bytes() {
        let canonical = "0190a6b4-7c3e-7def-8123-456789abcdef";
        assert_eq!(round_trip(canonical), (canonical.into(), Kind::Uuid));
        let others = [
            "0190A6B4-7C3E-7DEF-8123-456789ABCDEF",
            "0190a6b47c3e7def8123456789abcdef",
            "0190a6b4-7c3e-7def-8123-456789abcdeg",
            "0190a6b4-7c3e-7def+8123-456789abcdef",
            "0190a6b4-7c3e-7def-8123-456789abcdé",
        ];
        for text in others {
            assert_eq!(round_trip(text), (text.into(), Kind::Long), "{text}");
        }
    }

    #[test]
    fn the_number_of_a_released_long_id_is_reused() {
        let mut long = LongIds::default();
        for round in 0..1000 {
            let text = format!("an id that is long, number {round}");
            let (bytes, kind) = long.intern(Key::of(&text));
            assert_eq!(long.text(&bytes, kind), text);
            long.release(&bytes, kind);
        }
        assert_eq!(long.texts.len(), 1);
        assert!(long.bytes() < 200);
    }

    proptest! {
        #[test]
        fn every_id_is_returned_unchanged(text in "\\PC{0,40}") {
            prop_assert_eq!(round_trip(&text).0, text);
        }

        #[test]
        fn every_uuid_is_returned_unchanged(bytes in any::<[u8; 16]>()) {
            let text = uuid_text(&bytes);
            prop_assert_eq!(uuid_bytes(text.as_bytes()), Some(bytes));
            prop_assert_eq!(uuid::Uuid::from_bytes(bytes).to_string(), text);
        }
    }
}
