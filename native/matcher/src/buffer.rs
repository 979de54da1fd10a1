//! A buffer: stream entries that the router packs for one shard and the matcher reads.
//!
//! The layout is one version byte, the number of entries (u32), and for each entry the two
//! numbers of its id (u64 each), the length of its event (u32) and the event's bytes, all
//! little-endian. It is private to this module, because writer and reader are the same build.

use std::error::Error;
use std::fmt;

const VERSION: u8 = 1;
const HEADER: usize = 1 + 4;
const ENTRY_HEADER: usize = 8 + 8 + 4;

/// Writes a buffer.
#[derive(Debug)]
pub struct BufferWriter {
    bytes: Vec<u8>,
    entries: u32,
}

impl Default for BufferWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl BufferWriter {
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(HEADER)
    }

    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity);
        bytes.push(VERSION);
        bytes.extend_from_slice(&[0; 4]);
        Self { bytes, entries: 0 }
    }

    /// The bytes that an entry adds to `len`, if its event has `event` bytes.
    #[must_use]
    pub fn entry_len(event: usize) -> usize {
        ENTRY_HEADER + event
    }

    /// Appends the entry `ms-seq`. Copies the event. Panics if the event has 4 GiB or more; the
    /// router rejects it at 256 KiB.
    pub fn push(&mut self, ms: u64, seq: u64, event: &[u8]) {
        let length = u32::try_from(event.len()).expect("an event must be smaller than 4 GiB");
        self.bytes.extend_from_slice(&ms.to_le_bytes());
        self.bytes.extend_from_slice(&seq.to_le_bytes());
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(event);
        self.entries += 1;
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Entries written so far.
    #[must_use]
    pub fn entries(&self) -> u32 {
        self.entries
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes[1..HEADER].copy_from_slice(&self.entries.to_le_bytes());
        self.bytes
    }
}

/// A stream entry: its id, `ms-seq`, and the bytes of its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    pub ms: u64,
    pub seq: u64,
    pub event: &'a [u8],
}

/// Why bytes are not a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BufferError {
    /// Written by another version of goald, or not a buffer.
    OtherVersion,
    /// The buffer ends within an entry.
    EndsEarly,
    /// Bytes follow the last entry.
    TrailingBytes,
}

impl fmt::Display for BufferError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::OtherVersion => "not a buffer of this version",
            Self::EndsEarly => "the buffer is truncated",
            Self::TrailingBytes => "trailing bytes after the last entry of the buffer",
        })
    }
}

impl Error for BufferError {}

/// The entries of a buffer, in order, borrowed from it.
#[derive(Debug, Clone)]
pub struct BufferReader<'a> {
    rest: &'a [u8],
    remaining: u32,
}

impl<'a> BufferReader<'a> {
    /// Checks the whole buffer, so that a damaged buffer yields no entry.
    pub fn new(bytes: &'a [u8]) -> Result<Self, BufferError> {
        let (header, rest) = bytes
            .split_first_chunk::<HEADER>()
            .ok_or(BufferError::OtherVersion)?;
        let [VERSION, count @ ..] = header else {
            return Err(BufferError::OtherVersion);
        };
        let remaining = u32::from_le_bytes(*count);
        let mut unread = rest;
        for _ in 0..remaining {
            (_, unread) = split_entry(unread).ok_or(BufferError::EndsEarly)?;
        }
        if !unread.is_empty() {
            return Err(BufferError::TrailingBytes);
        }
        Ok(Self { rest, remaining })
    }
}

impl<'a> Iterator for BufferReader<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        self.remaining = self.remaining.checked_sub(1)?;
        let (entry, rest) = split_entry(self.rest)?;
        self.rest = rest;
        Some(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining as usize, Some(self.remaining as usize))
    }
}

impl ExactSizeIterator for BufferReader<'_> {}

/// Two buffers with consecutive entries.
pub type Halves = (Vec<u8>, Vec<u8>);

/// Splits a buffer in two, in order. `None` if it has fewer than two entries.
pub fn halves(bytes: &[u8]) -> Result<Option<Halves>, BufferError> {
    let entries = BufferReader::new(bytes)?;
    let first = entries.len() / 2;
    if first == 0 {
        return Ok(None);
    }
    let mut writers = (BufferWriter::new(), BufferWriter::new());
    for (number, Entry { ms, seq, event }) in entries.enumerate() {
        let writer = if number < first {
            &mut writers.0
        } else {
            &mut writers.1
        };
        writer.push(ms, seq, event);
    }
    Ok(Some((writers.0.finish(), writers.1.finish())))
}

#[inline]
fn split_entry(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let (ms, rest) = bytes.split_first_chunk::<8>()?;
    let (seq, rest) = rest.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (event, rest) = rest.split_at_checked(length)?;
    let (ms, seq) = (u64::from_le_bytes(*ms), u64::from_le_bytes(*seq));
    Some((Entry { ms, seq, event }, rest))
}

/// Parses a stream entry id in the form in which Redis writes it: `ms-seq`, decimal, without
/// leading zeros. `None` for any other text.
#[must_use]
pub fn parse_entry_id(text: &[u8]) -> Option<(u64, u64)> {
    let dash = text.iter().position(|byte| *byte == b'-')?;
    Some((number(&text[..dash])?, number(&text[dash + 1..])?))
}

fn number(digits: &[u8]) -> Option<u64> {
    match digits {
        [b'0'] => Some(0),
        [b'1'..=b'9', ..] => digits.iter().try_fold(0_u64, |value, byte| {
            let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
            value.checked_mul(10)?.checked_add(digit)
        }),
        _ => None,
    }
}

/// A stream entry id in the form in which Redis writes it.
#[must_use]
pub fn entry_id(ms: u64, seq: u64) -> String {
    format!("{ms}-{seq}")
}
