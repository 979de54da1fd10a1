//! JSON, read in place.

use super::value::{Kind, Members, Number, Spot};
use crate::event::RawData;
use crate::event::limits::{EVENT_BYTES, EXPONENT, STRING_BYTES};
use crate::event::reject::{Reason, Reject};
use crate::wire::{check_escaped, string_stop};

/// The text is known to be UTF-8, checked once for all of it; strings are cut out of it at
/// their quotes.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Passes over blanks and gives the byte after them.
    #[inline]
    fn solid(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other,
            }
        }
    }

    /// A string, from its opening quote on.
    #[inline]
    fn string(&mut self) -> Result<Spot, Reject> {
        let start = self.at + 1;
        let bytes = self.text.as_bytes();
        let end = string_stop(bytes, start);
        if bytes.get(end) != Some(&b'"') {
            let end = check_escaped(bytes, start, end)?;
            self.at = end + 1;
            return Ok(Spot::new(Kind::Escaped, start, end - start));
        }
        if end - start > STRING_BYTES {
            return Err(Reject::at(start, Reason::LongString));
        }
        self.at = end + 1;
        Ok(Spot::new(Kind::Text, start, end - start))
    }

    fn literal(&mut self, word: &str, kind: Kind) -> Result<Spot, Reject> {
        let start = self.at;
        if self.text[start..].starts_with(word) {
            self.at += word.len();
            return Ok(Spot::new(kind, start, word.len()));
        }
        Err(self.fault())
    }

    /// Enters a map or list.
    #[inline]
    fn enter(&mut self, kind: Kind) -> Spot {
        self.at += 1;
        Spot::new(kind, self.at - 1, 1)
    }

    /// `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`, finite as a double.
    #[inline]
    fn pass_number(&mut self) -> Result<Spot, Reject> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        let whole = self.at;
        let integer_digits = self.digits()?;
        if integer_digits > 1 && self.text.as_bytes()[whole] == b'0' {
            return Err(Reject::at(whole, Reason::NotJson));
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        let mut plain = integer_digits <= 300;
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.exponent()?;
            plain = false;
        }
        let text = &self.text[start..self.at];
        if text.len() > STRING_BYTES {
            return Err(Reject::at(start, Reason::LongNumber));
        }
        if !plain && !text.parse().is_ok_and(f64::is_finite) {
            return Err(Reject::at(start, Reason::NotFinite));
        }
        Ok(Spot::new(Kind::Number, start, text.len()))
    }

    fn exponent(&mut self) -> Result<(), Reject> {
        self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
        let start = self.at;
        self.digits()?;
        let magnitude = self.text[start..self.at].trim_start_matches('0');
        if magnitude.len() > 3 || magnitude.parse().is_ok_and(|value: u32| value > EXPONENT) {
            return Err(Reject::at(start, Reason::LargeExponent));
        }
        Ok(())
    }

    /// Passes over digits, at least one, and gives how many.
    #[inline]
    fn digits(&mut self) -> Result<usize, Reject> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start {
            Err(self.fault())
        } else {
            Ok(self.at - start)
        }
    }

    /// What is here is not what JSON asks for.
    #[cold]
    fn fault(&self) -> Reject {
        let ended = self.at >= self.text.len();
        Reject::at(
            self.at,
            if ended {
                Reason::EndsEarly
            } else {
                Reason::NotJson
            },
        )
    }

    /// Passes over a comma, unless it is before the first member, or over `close`: whether
    /// there is another member.
    #[inline]
    fn more(&mut self, members: &mut Members, close: u8) -> Result<bool, Reject> {
        let first = members.0 == 1;
        members.0 = 0;
        match self.solid() {
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.at += 1;
                Ok(true)
            }
            Some(_) if first => Ok(true),
            _ => Err(self.fault()),
        }
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
        if bytes.len() > EVENT_BYTES {
            return Err(Reject::new(Reason::TooLarge));
        }
        match simdutf8::basic::from_utf8(bytes) {
            Ok(text) => Ok(Self { text, at: 0 }),
            Err(_) => Err(not_utf8(bytes)),
        }
    }

    fn raw(bytes: &'a [u8]) -> RawData<'a> {
        RawData::Json(bytes)
    }

    #[inline]
    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    #[inline]
    fn begin(&mut self) -> Result<Spot, Reject> {
        match self.solid() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.pass_number(),
            Some(b'{') => Ok(self.enter(Kind::Map)),
            Some(b'[') => Ok(self.enter(Kind::List)),
            Some(b't') => self.literal("true", Kind::True),
            Some(b'f') => self.literal("false", Kind::False),
            Some(b'n') => self.literal("null", Kind::Null),
            _ => Err(self.fault()),
        }
    }

    #[inline]
    fn next_key(&mut self, members: &mut Members) -> Result<Spot, Reject> {
        if !self.more(members, b'}')? {
            return Ok(Spot::ABSENT);
        }
        match self.solid() {
            Some(b'"') => {}
            Some(b'-' | b'0'..=b'9' | b'{' | b'[' | b't' | b'f' | b'n') => {
                return Err(Reject::at(self.at, Reason::KeyNotText));
            }
            _ => return Err(self.fault()),
        }
        let key = self.string()?;
        if self.solid() != Some(b':') {
            return Err(self.fault());
        }
        self.at += 1;
        Ok(key)
    }

    /// All of the text was checked before, and a string as it was passed.
    #[inline]
    fn check_key(&self, _key: Spot) -> Result<(), Reject> {
        Ok(())
    }

    #[inline]
    fn next_item(&mut self, members: &mut Members) -> Result<bool, Reject> {
        self.more(members, b']')
    }

    fn end(&mut self) -> Result<(), Reject> {
        match self.solid() {
            None => Ok(()),
            Some(_) => Err(Reject::at(self.at, Reason::TrailingBytes)),
        }
    }

    #[inline]
    fn raw_text(&self, spot: Spot) -> &'a str {
        &self.text[spot.start()..spot.end()]
    }

    fn number(&self, spot: Spot) -> Number<'a> {
        Number::Text(self.raw_text(spot))
    }

    #[inline]
    fn passed(&mut self, spot: Spot) -> Spot {
        Spot::new(spot.kind(), spot.start(), self.at - spot.start())
    }
}
