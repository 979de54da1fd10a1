//! Reads JSON in place.

use std::borrow::Cow;

use super::value::{Kind, Members, Number, Span};
use crate::event::limits::FORWARDED_BYTES;
use crate::event::reject::{Reason, Reject};
use crate::event::{RawData, Text};
use crate::wire::json::Cursor;
use crate::wire::{check_escaped, string_stop, unescape, unescape_lossy};

/// All of the text is checked to be UTF-8 at the start; strings are sliced out of it at their
/// quotes.
pub(super) struct Reader<'a>(Cursor<&'a str>);

impl<'a> Reader<'a> {
    /// Reads a string; the position is at its opening quote.
    #[inline]
    fn string(&mut self) -> Result<Span, Reject> {
        let start = self.0.at + 1;
        let bytes = self.0.input.as_bytes();
        let end = string_stop(bytes, start);
        if bytes.get(end) != Some(&b'"') {
            let end = check_escaped(bytes, end)?;
            self.0.at = end + 1;
            return Ok(Span::new(Kind::Escaped, start, end - start));
        }
        self.0.at = end + 1;
        Ok(Span::new(Kind::Text, start, end - start))
    }

    fn literal(&mut self, word: &str, kind: Kind) -> Result<Span, Reject> {
        let start = self.0.at;
        if self.0.input[start..].starts_with(word) {
            self.0.at += word.len();
            return Ok(Span::new(kind, start, word.len()));
        }
        Err(self.0.syntax_error())
    }

    /// Enters a map or list.
    #[inline]
    fn enter(&mut self, kind: Kind) -> Span {
        self.0.at += 1;
        Span::new(kind, self.0.at - 1, 1)
    }

    /// Reads `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`.
    #[inline]
    fn read_number(&mut self) -> Result<Span, Reject> {
        let start = self.0.at;
        self.0.at += usize::from(self.0.peek() == Some(b'-'));
        let whole = self.0.at;
        let integer_digits = self.digits()?;
        if integer_digits > 1 && self.0.input.as_bytes()[whole] == b'0' {
            return Err(Reject::at(whole, Reason::NotJson));
        }
        if self.0.peek() == Some(b'.') {
            self.0.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.0.peek() {
            self.0.at += 1;
            self.0.at += usize::from(matches!(self.0.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(Span::new(Kind::Number, start, self.0.at - start))
    }

    /// Skips one or more digits and returns their number.
    #[inline]
    fn digits(&mut self) -> Result<usize, Reject> {
        let start = self.0.at;
        while let Some(b'0'..=b'9') = self.0.peek() {
            self.0.at += 1;
        }
        if self.0.at == start {
            Err(self.0.syntax_error())
        } else {
            Ok(self.0.at - start)
        }
    }

    #[inline]
    fn next_member(&mut self, members: &mut Members, close: u8) -> Result<bool, Reject> {
        let is_first = members.0 == 1;
        members.0 = 0;
        self.0.next_member(is_first, close)
    }
}

#[cold]
fn not_utf8(bytes: &[u8]) -> Reject {
    let valid = std::str::from_utf8(bytes)
        .err()
        .map_or(0, |error| error.valid_up_to());
    Reject::at(valid, Reason::NotUtf8)
}

impl<'a> super::value::Reader<'a> for Reader<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, Reject> {
        if bytes.len() > FORWARDED_BYTES {
            return Err(Reject::new(Reason::TooLarge));
        }
        match simdutf8::basic::from_utf8(bytes) {
            Ok(text) => Ok(Self(Cursor::new(text))),
            Err(_) => Err(not_utf8(bytes)),
        }
    }

    fn raw(bytes: &'a [u8]) -> RawData<'a> {
        RawData::Json(bytes)
    }

    #[inline]
    fn bytes(&self) -> &'a [u8] {
        self.0.input.as_bytes()
    }

    #[inline]
    fn begin(&mut self) -> Result<Span, Reject> {
        match self.0.token() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.read_number(),
            Some(b'{') => Ok(self.enter(Kind::Map)),
            Some(b'[') => Ok(self.enter(Kind::List)),
            Some(b't') => self.literal("true", Kind::True),
            Some(b'f') => self.literal("false", Kind::False),
            Some(b'n') => self.literal("null", Kind::Null),
            _ => Err(self.0.syntax_error()),
        }
    }

    #[inline]
    fn next_key(&mut self, members: &mut Members) -> Result<Span, Reject> {
        if !self.next_member(members, b'}')? {
            return Ok(Span::ABSENT);
        }
        match self.0.token() {
            Some(b'"') => {}
            Some(b'-' | b'0'..=b'9' | b'{' | b'[' | b't' | b'f' | b'n') => {
                return Err(Reject::at(self.0.at, Reason::KeyNotText));
            }
            _ => return Err(self.0.syntax_error()),
        }
        let key = self.string()?;
        self.0.colon()?;
        Ok(key)
    }

    #[inline]
    fn next_item(&mut self, members: &mut Members) -> Result<bool, Reject> {
        self.next_member(members, b']')
    }

    fn end(&mut self) -> Result<(), Reject> {
        match self.0.token() {
            None => Ok(()),
            Some(_) => Err(Reject::at(self.0.at, Reason::TrailingBytes)),
        }
    }

    #[inline]
    fn raw_text(&self, span: Span) -> &'a str {
        &self.0.input[span.start()..span.end()]
    }

    #[inline]
    fn checked_text(&self, span: Span) -> Result<Text<'a>, Reason> {
        let raw = self.raw_text(span);
        if span.kind() == Kind::Escaped {
            return unescape(raw).map(Cow::Owned);
        }
        Ok(Cow::Borrowed(raw))
    }

    fn lossy_text(&self, span: Span) -> Text<'a> {
        let raw = self.raw_text(span);
        if span.kind() == Kind::Escaped {
            return Cow::Owned(unescape_lossy(raw));
        }
        Cow::Borrowed(raw)
    }

    fn number(&self, span: Span) -> Number<'a> {
        Number::Text(self.raw_text(span))
    }

    #[inline]
    fn close(&mut self, span: Span) -> Span {
        Span::new(span.kind(), span.start(), self.0.at - span.start())
    }
}
