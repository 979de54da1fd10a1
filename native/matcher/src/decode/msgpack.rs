//! Reads MessagePack in place.

use std::borrow::Cow;

use super::value::{Kind, Members, Number, Span};
use crate::event::limits::FORWARDED_BYTES;
use crate::event::reject::{Reason, Reject};
use crate::event::{RawData, Text};
use crate::wire::msgpack::{Cursor, big_endian};
use crate::wire::plain_text;

pub(super) struct Reader<'a>(Cursor<'a>);

impl<'a> Reader<'a> {
    /// Consumes a length of `N` bytes. Faster here than [`Cursor::length`].
    #[inline]
    fn length<const N: usize>(&mut self) -> Result<usize, Reject> {
        Ok(big_endian(&self.0.take::<N>()?))
    }

    /// Skips `length` bytes, of a string without checking its text.
    #[inline]
    fn skip(&mut self, kind: Kind, length: usize) -> Result<Span, Reject> {
        if length > self.0.remaining() {
            return Err(self.0.ends_early());
        }
        self.0.at += length;
        Ok(Span::new(kind, self.0.at - length, length))
    }

    #[inline]
    fn string(&mut self, length: usize) -> Result<Span, Reject> {
        self.skip(Kind::Text, length)
    }

    fn bytes_at(&self, span: Span) -> &'a [u8] {
        &self.0.bytes[span.start()..span.end()]
    }

    /// Skips a number of `N` bytes whose marker is at `start`.
    #[inline]
    fn sized<const N: usize>(&mut self, start: usize) -> Result<Span, Reject> {
        self.0.take::<N>()?;
        Ok(Span::new(Kind::Number, start, 1 + N))
    }

    /// Enters a map or list. One with more members than remaining bytes is truncated.
    #[inline]
    fn enter(&mut self, kind: Kind, start: usize, members: usize) -> Result<Span, Reject> {
        if members > self.0.remaining() {
            return Err(self.0.ends_early());
        }
        Ok(Span::new(kind, start, members))
    }

    /// Reads the kinds of value that are rare in events, or rejects the value.
    #[inline(never)]
    fn rare(&mut self, marker: u8, start: usize) -> Result<Span, Reject> {
        match marker {
            0xcc | 0xd0 => self.sized::<1>(start),
            0xcd | 0xd1 => self.sized::<2>(start),
            0xce | 0xd2 => self.sized::<4>(start),
            0xcf | 0xd3 => self.sized::<8>(start),
            0xca => self.sized::<4>(start),
            0xcb => self.sized::<8>(start),
            0xda => self.length::<2>().and_then(|length| self.string(length)),
            0xdb => self.length::<4>().and_then(|length| self.string(length)),
            0xdc => self
                .length::<2>()
                .and_then(|count| self.enter(Kind::List, start, count)),
            0xdd => self
                .length::<4>()
                .and_then(|count| self.enter(Kind::List, start, count)),
            0xde => self
                .length::<2>()
                .and_then(|count| self.enter(Kind::Map, start, count)),
            0xdf => self
                .length::<4>()
                .and_then(|count| self.enter(Kind::Map, start, count)),
            0xc4 => self
                .length::<1>()
                .and_then(|length| self.skip(Kind::Binary, length)),
            0xc5 => self
                .length::<2>()
                .and_then(|length| self.skip(Kind::Binary, length)),
            0xc6 => self
                .length::<4>()
                .and_then(|length| self.skip(Kind::Binary, length)),
            // The type of an extension takes one byte more.
            0xc7 => self
                .length::<1>()
                .and_then(|length| self.skip(Kind::Binary, length + 1)),
            0xc8 => self
                .length::<2>()
                .and_then(|length| self.skip(Kind::Binary, length + 1)),
            0xc9 => self
                .length::<4>()
                .and_then(|length| self.skip(Kind::Binary, length + 1)),
            0xd4..=0xd8 => self.skip(Kind::Binary, (1 << (marker - 0xd4)) + 1),
            _ => Err(Reject::at(start, Reason::UnknownMarker)),
        }
    }
}

/// Parses a number, including its marker.
fn number<'a>(bytes: &[u8]) -> Option<Number<'a>> {
    let (marker, value) = bytes.split_first()?;
    Some(match (*marker, value) {
        (0x00..=0x7f, []) => Number::Integer(i64::from(*marker)),
        (0xe0..=0xff, []) => Number::Integer(i64::from(*marker as i8)),
        (0xca, _) => Number::Float(f32::from_be_bytes(value.try_into().ok()?).into()),
        (0xcb, _) => Number::Float(f64::from_be_bytes(value.try_into().ok()?)),
        (0xcc, _) => Number::Unsigned(u8::from_be_bytes(value.try_into().ok()?).into()),
        (0xcd, _) => Number::Unsigned(u16::from_be_bytes(value.try_into().ok()?).into()),
        (0xce, _) => Number::Unsigned(u32::from_be_bytes(value.try_into().ok()?).into()),
        (0xcf, _) => Number::Unsigned(u64::from_be_bytes(value.try_into().ok()?)),
        (0xd0, _) => Number::Integer(i8::from_be_bytes(value.try_into().ok()?).into()),
        (0xd1, _) => Number::Integer(i16::from_be_bytes(value.try_into().ok()?).into()),
        (0xd2, _) => Number::Integer(i32::from_be_bytes(value.try_into().ok()?).into()),
        (0xd3, _) => Number::Integer(i64::from_be_bytes(value.try_into().ok()?)),
        _ => return None,
    })
}

impl<'a> super::value::Reader<'a> for Reader<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, Reject> {
        if bytes.len() > FORWARDED_BYTES {
            return Err(Reject::new(Reason::TooLarge));
        }
        Ok(Self(Cursor::new(bytes)))
    }

    fn raw(bytes: &'a [u8]) -> RawData<'a> {
        RawData::MessagePack(bytes)
    }

    #[inline]
    fn bytes(&self) -> &'a [u8] {
        self.0.bytes
    }

    #[inline]
    fn begin(&mut self) -> Result<Span, Reject> {
        let start = self.0.at;
        let [marker] = self.0.take()?;
        match marker {
            0xa0..=0xbf => self.string(usize::from(marker & 0x1f)),
            0xd9 => {
                let length = self.length::<1>()?;
                self.string(length)
            }
            0x00..=0x7f | 0xe0..=0xff => Ok(Span::new(Kind::Number, start, 1)),
            0x80..=0x8f => self.enter(Kind::Map, start, usize::from(marker & 0x0f)),
            0x90..=0x9f => self.enter(Kind::List, start, usize::from(marker & 0x0f)),
            0xc0 => Ok(Span::new(Kind::Null, start, 1)),
            0xc2 => Ok(Span::new(Kind::False, start, 1)),
            0xc3 => Ok(Span::new(Kind::True, start, 1)),
            _ => self.rare(marker, start),
        }
    }

    #[inline]
    fn next_key(&mut self, members: &mut Members) -> Result<Span, Reject> {
        if members.0 == 0 {
            return Ok(Span::ABSENT);
        }
        members.0 -= 1;
        let [marker] = self.0.take()?;
        let length = match marker {
            0xa0..=0xbf => usize::from(marker & 0x1f),
            0xd9 => self.length::<1>()?,
            0xda => self.length::<2>()?,
            0xdb => self.length::<4>()?,
            _ => return Err(Reject::at(self.0.at - 1, Reason::KeyNotText)),
        };
        self.string(length)
    }

    #[inline]
    fn next_item(&mut self, members: &mut Members) -> Result<bool, Reject> {
        let has_next = members.0 > 0;
        members.0 = members.0.saturating_sub(1);
        Ok(has_next)
    }

    #[inline]
    fn end(&mut self) -> Result<(), Reject> {
        if self.0.remaining() == 0 {
            return Ok(());
        }
        Err(Reject::at(self.0.at, Reason::TrailingBytes))
    }

    #[inline]
    fn raw_text(&self, span: Span) -> &'a str {
        plain_text(self.bytes_at(span)).unwrap_or_default()
    }

    #[inline]
    fn checked_text(&self, span: Span) -> Result<Text<'a>, Reason> {
        plain_text(self.bytes_at(span)).map(Cow::Borrowed)
    }

    fn lossy_text(&self, span: Span) -> Text<'a> {
        let bytes = self.bytes_at(span);
        match plain_text(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}")),
        }
    }

    fn number(&self, span: Span) -> Number<'a> {
        number(&self.0.bytes[span.start()..span.end()]).unwrap_or(Number::Integer(0))
    }

    #[inline]
    fn close(&mut self, span: Span) -> Span {
        Span::new(span.kind(), span.start(), self.0.at - span.start())
    }
}
