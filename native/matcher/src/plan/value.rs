//! A MessagePack value, as far as plans need it.

use crate::wire::msgpack::Cursor;

/// Arrays of a plan are at most this deep: conditions nest with their steps.
const DEPTH: usize = 64;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Nil,
    Bool(bool),
    Integer(i64),
    Text(&'a str),
    Array(Vec<Value<'a>>),
}

impl<'a> Value<'a> {
    /// Reads the one value of these bytes.
    pub fn read(bytes: &'a [u8]) -> Option<Value<'a>> {
        let mut cursor = Cursor::new(bytes);
        let value = read(&mut cursor, DEPTH)?;
        (cursor.remaining() == 0).then_some(value)
    }

    pub fn array(&self) -> Option<&[Value<'a>]> {
        match self {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    pub fn integer(&self) -> Option<i64> {
        match self {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }

    pub fn text(&self) -> Option<&'a str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// `Some(None)` for nil.
    pub fn optional<T>(&self, read: impl FnOnce(&Value<'a>) -> Option<T>) -> Option<Option<T>> {
        match self {
            Value::Nil => Some(None),
            value => read(value).map(Some),
        }
    }
}

fn read<'a>(cursor: &mut Cursor<'a>, depth: usize) -> Option<Value<'a>> {
    let depth = depth.checked_sub(1)?;
    let start = cursor.at;
    let marker = cursor.marker().ok()?;
    Some(match marker {
        0xc0 => Value::Nil,
        0xc2 | 0xc3 => Value::Bool(marker == 0xc3),
        0x00..=0x7f => Value::Integer(i64::from(marker)),
        0xe0..=0xff => Value::Integer(i64::from(marker as i8)),
        0xcc => Value::Integer(cursor.take::<1>().ok()?[0].into()),
        0xcd => Value::Integer(u16::from_be_bytes(cursor.take().ok()?).into()),
        0xce => Value::Integer(u32::from_be_bytes(cursor.take().ok()?).into()),
        0xcf => Value::Integer(u64::from_be_bytes(cursor.take().ok()?).try_into().ok()?),
        0xd0 => Value::Integer((cursor.take::<1>().ok()?[0] as i8).into()),
        0xd1 => Value::Integer(i16::from_be_bytes(cursor.take().ok()?).into()),
        0xd2 => Value::Integer(i32::from_be_bytes(cursor.take().ok()?).into()),
        0xd3 => Value::Integer(i64::from_be_bytes(cursor.take().ok()?)),
        0xa0..=0xbf | 0xd9..=0xdb => {
            cursor.at = start;
            Value::Text(std::str::from_utf8(cursor.string().ok()??).ok()?)
        }
        0x90..=0x9f => items(cursor, usize::from(marker & 0x0f), depth)?,
        0xdc => {
            let count = cursor.length::<2>().ok()?;
            items(cursor, count, depth)?
        }
        _ => return None,
    })
}

fn items<'a>(cursor: &mut Cursor<'a>, count: usize, depth: usize) -> Option<Value<'a>> {
    // Each item takes a byte, so that the memory is bounded by the input.
    if count > cursor.remaining() {
        return None;
    }
    let items = (0..count).map(|_| read(cursor, depth));
    items.collect::<Option<_>>().map(Value::Array)
}
