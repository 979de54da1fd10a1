//! Shared by both encodings: the reader, and spans of values that are not copied.

use std::borrow::Cow;

use crate::event::reject::{Reason, Reject};
use crate::event::{RawData, Text};
use crate::wire::unescape;

/// The kind of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
#[repr(u8)]
pub(crate) enum Kind {
    Absent,
    Null,
    True,
    False,
    Text,
    /// A JSON string with escapes.
    Escaped,
    Number,
    /// Bytes or an extension of MessagePack.
    Binary,
    List,
    Map,
}

impl Kind {
    const ALL: [Self; 16] = [
        Self::Absent,
        Self::Null,
        Self::True,
        Self::False,
        Self::Text,
        Self::Escaped,
        Self::Number,
        Self::Binary,
        Self::List,
        Self::Map,
        Self::Absent,
        Self::Absent,
        Self::Absent,
        Self::Absent,
        Self::Absent,
        Self::Absent,
    ];
}

/// The position of a value in the bytes, and its kind: 32 bits of length, 28 of start and 4 of
/// kind, which fit in a register. Decoding makes one for each value and copies nothing. An event
/// has at most 256 KiB, so that positions always fit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span(u64);

impl Span {
    pub const ABSENT: Self = Self::new(Kind::Absent, 0, 0);

    /// The span covers a string without its quotes, or the whole text of a number. For a map or
    /// list that has been entered, `length` is the value of [`Span::members`].
    #[inline]
    pub const fn new(kind: Kind, start: usize, length: usize) -> Self {
        Self((length as u64) << 32 | (start as u64) << 4 | kind as u64)
    }

    #[inline]
    pub fn kind(self) -> Kind {
        Kind::ALL[(self.0 & 0xf) as usize]
    }

    #[inline]
    pub fn is_absent(self) -> bool {
        self.0 & 0xf == Kind::Absent as u64
    }

    #[inline]
    pub fn start(self) -> usize {
        (self.0 as u32 >> 4) as usize
    }

    #[inline]
    pub fn end(self) -> usize {
        self.start() + self.members().0
    }

    #[inline]
    pub fn members(self) -> Members {
        Members((self.0 >> 32) as usize)
    }
}

/// The progress within a map or list: the remaining members in MessagePack; 1 before the first
/// member and 0 after it in JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Members(pub usize);

/// A number in the form of its encoding.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Number<'a> {
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    /// The text of a JSON number.
    Text(&'a str),
}

/// Reads one encoding from front to back. Spans that are passed to a reader must come from it.
pub(crate) trait Reader<'a>: Sized {
    /// A reader of one value of an event.
    fn new(bytes: &'a [u8]) -> Result<Self, Reject>;

    /// The bytes of a value, tagged with this encoding.
    fn raw(bytes: &'a [u8]) -> RawData<'a>;

    fn bytes(&self) -> &'a [u8];

    /// Reads a scalar, or enters a map or list.
    fn begin(&mut self) -> Result<Span, Reject>;

    /// Reads the next key of a map and moves to its value. The span is absent at the end of the
    /// map. The text of the key is not checked.
    fn next_key(&mut self, members: &mut Members) -> Result<Span, Reject>;

    /// Moves to the next item of a list. False at the end of the list.
    fn next_item(&mut self, members: &mut Members) -> Result<bool, Reject>;

    /// Rejects bytes after the value.
    fn end(&mut self) -> Result<(), Reject>;

    /// The content of a string, with its escapes.
    fn raw_text(&self, span: Span) -> &'a str;

    /// The value of a number.
    fn number(&self, span: Span) -> Number<'a>;

    /// The content of a string that goald reads, or why its text is not valid.
    fn checked_text(&self, span: Span) -> Result<Text<'a>, Reason>;

    /// The content of a string with U+FFFD for what Postgres cannot store.
    fn lossy_text(&self, span: Span) -> Text<'a>;

    /// The content of a string, borrowed if it has no escapes. Empty if its text is not valid.
    #[inline]
    fn text(&self, span: Span) -> Text<'a> {
        let raw = self.raw_text(span);
        if span.kind() == Kind::Escaped {
            return Cow::Owned(unescape(raw).unwrap_or_default());
        }
        Cow::Borrowed(raw)
    }

    /// The whole span of the map or list that was entered as `span` and ends here.
    fn close(&mut self, span: Span) -> Span;
}
