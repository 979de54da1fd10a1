//! What both encodings have in common: values that stay where they are.

use std::borrow::Cow;

use crate::event::reject::Reject;
use crate::event::{RawData, Text};
use crate::wire::unescape;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
#[repr(u8)]
pub(crate) enum Kind {
    Absent,
    Null,
    True,
    False,
    Text,
    /// A string with JSON's escapes.
    Escaped,
    Number,
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
        Self::List,
        Self::Map,
        Self::Absent,
        Self::Absent,
        Self::Absent,
        Self::Absent,
        Self::Absent,
        Self::Absent,
        Self::Absent,
    ];
}

/// Where a value lies in the bytes, and of which kind it is: 32 bits of length, 28 of start
/// and 4 of kind, so that it travels in a register. The pass over an event makes one for each
/// value and copies nothing. An event has at most 64 KiB, so that everything fits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spot(u64);

impl Spot {
    pub const ABSENT: Self = Self::new(Kind::Absent, 0, 0);

    /// A value whose content is these bytes: a string without its quotes, a number's whole
    /// text; of a map or list that has been entered, `length` is what [`Spot::members`] gives.
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

/// A map or list that has been entered: in MessagePack the members to come, in JSON 1 before
/// the first member and 0 after it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Members(pub usize);

/// A number as its encoding has it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Number<'a> {
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    /// The text of a JSON number.
    Text(&'a str),
}

/// One encoding, read from front to back.
pub(crate) trait Reader<'a>: Sized {
    /// A reader of one value that an event holds.
    fn new(bytes: &'a [u8]) -> Result<Self, Reject>;

    /// The bytes of a value, with the name of this encoding.
    fn raw(bytes: &'a [u8]) -> RawData<'a>;

    fn bytes(&self) -> &'a [u8];

    /// Reads a scalar, checked, or enters a map or list.
    fn begin(&mut self) -> Result<Spot, Reject>;

    /// The next key of a map, up to where its value begins; absent where the map ends. What it
    /// says is checked only by [`Reader::check_key`]: a name that is known is good text.
    fn next_key(&mut self, members: &mut Members) -> Result<Spot, Reject>;

    /// Checks the text of a key.
    fn check_key(&self, key: Spot) -> Result<(), Reject>;

    /// Whether another item follows, up to where it begins.
    fn next_item(&mut self, members: &mut Members) -> Result<bool, Reject>;

    /// Refuses whatever follows the value.
    fn end(&mut self) -> Result<(), Reject>;

    /// A string's content as it lies in the bytes. The spot is one that this reader gave.
    fn raw_text(&self, spot: Spot) -> &'a str;

    /// A number that this reader gave.
    fn number(&self, spot: Spot) -> Number<'a>;

    /// A string without escapes: borrowed where there are none.
    #[inline]
    fn text(&self, spot: Spot) -> Text<'a> {
        let raw = self.raw_text(spot);
        if spot.kind() == Kind::Escaped {
            return Cow::Owned(unescape(raw).unwrap_or_default());
        }
        Cow::Borrowed(raw)
    }

    /// The map or list that was entered as `spot` and ends here.
    fn passed(&mut self, spot: Spot) -> Spot;
}
