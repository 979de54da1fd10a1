//! What both encodings have in common: values that stay where they are, and how to pass
//! over them while every limit is checked.

use std::borrow::Cow;

use super::json_text::unescape;
use super::keys::Keys;
use crate::event::{RawData, Text};
use crate::limits::{DEPTH, MAP_KEYS};
use crate::reject::{Reason, Reject};

/// A string as it lies in the bytes: valid, within the limits, maybe with JSON's escapes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawText<'a> {
    pub raw: &'a str,
    pub escaped: bool,
}

impl<'a> RawText<'a> {
    /// The text without escapes: borrowed where there are none.
    #[inline]
    pub fn text(self) -> Text<'a> {
        if self.escaped {
            return Cow::Owned(unescape(self.raw).unwrap_or_default());
        }
        Cow::Borrowed(self.raw)
    }
}

/// A value that has been checked and passed over. 24 bytes, nothing copied.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Absent,
    Null,
    Bool(bool),
    Text(RawText<'a>),
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    /// The text of a JSON number.
    Number(&'a str),
    List(&'a [u8]),
    Map(&'a [u8]),
}

/// A map or list that has been entered: in MessagePack the members to come, in JSON 1 before
/// the first member and 0 after it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Members(pub usize);

/// A value's beginning.
pub(crate) enum Begun<'a> {
    Scalar(Value<'a>),
    Map(Members),
    List(Members),
}

/// One encoding, read from front to back.
pub(crate) trait Reader<'a>: Sized {
    /// A reader of one value that an event holds.
    fn part(bytes: &'a [u8]) -> Result<Self, Reject>;

    /// The bytes of a value, with the name of this encoding.
    fn raw(bytes: &'a [u8]) -> RawData<'a>;

    /// The place where the next value begins.
    fn place(&mut self) -> usize;

    /// The bytes from a place to where the reader is.
    fn since(&self, place: usize) -> &'a [u8];

    /// Reads a scalar, checked, or enters a map or list.
    fn begin(&mut self) -> Result<Begun<'a>, Reject>;

    /// The next key of a map, up to where its value begins; `None` where the map ends.
    fn next_key(&mut self, members: &mut Members) -> Result<Option<RawText<'a>>, Reject>;

    /// Whether another item follows, up to where it begins.
    fn next_item(&mut self, members: &mut Members) -> Result<bool, Reject>;

    /// Refuses whatever follows the value.
    fn end(self) -> Result<(), Reject>;

    /// Checks a value and passes over it. `depth` is the depth of the value if it is a map or
    /// list; the recursion is bounded by the limit on it.
    #[inline]
    fn value(&mut self, depth: usize) -> Result<Value<'a>, Reject> {
        let place = self.place();
        match self.begin()? {
            Begun::Scalar(value) => Ok(value),
            Begun::Map(members) => {
                pass_map(self, members, depth)?;
                Ok(Value::Map(self.since(place)))
            }
            Begun::List(members) => {
                pass_list(self, members, depth)?;
                Ok(Value::List(self.since(place)))
            }
        }
    }
}

#[inline(never)]
fn pass_map<'a, R: Reader<'a>>(
    reader: &mut R,
    mut members: Members,
    depth: usize,
) -> Result<(), Reject> {
    if depth > DEPTH {
        return Err(Reject::at(reader.place(), Reason::TooDeep));
    }
    let mut keys = Keys::new();
    while let Some(key) = reader.next_key(&mut members)? {
        if keys.len() == MAP_KEYS {
            return Err(Reject::at(reader.place(), Reason::TooManyKeys));
        }
        keys.add(key)
            .map_err(|reason| Reject::at(reader.place(), reason))?;
        reader.value(depth + 1)?;
    }
    keys.check()
        .map_err(|reason| Reject::at(reader.place(), reason))
}

#[inline(never)]
fn pass_list<'a, R: Reader<'a>>(
    reader: &mut R,
    mut members: Members,
    depth: usize,
) -> Result<(), Reject> {
    if depth > DEPTH {
        return Err(Reject::at(reader.place(), Reason::TooDeep));
    }
    while reader.next_item(&mut members)? {
        reader.value(depth + 1)?;
    }
    Ok(())
}
