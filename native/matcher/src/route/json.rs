//! The routing key of a JSON event.

use std::borrow::Cow;
use std::ops::Range;

use crate::event::reject::{Reason, Reject};
use crate::event::{Field, Text};
use crate::wire::json::Cursor;
use crate::wire::{string_stop, unescape};

pub(super) fn routing_key(bytes: &[u8]) -> Result<(Text<'_>, Text<'_>), Reject> {
    let mut scanner = Scanner(Cursor::new(bytes));
    let (mut tenant, mut contact) = (None, None);
    if !scanner.enter_map() {
        return Err(Reject::new(Reason::NotAnEvent));
    }
    let mut is_first = true;
    while scanner.0.next_member(is_first, b'}')? {
        is_first = false;
        let key = scanner.key()?;
        if key.is(b"tenantid") {
            tenant = Some(scanner.text(Field::TenantId)?);
        } else if key.is(b"data") {
            contact = Some(scanner.contact(tenant.is_some())?);
        } else {
            scanner.skip()?;
        }
        match (tenant, contact) {
            (Some(tenant), Some(contact)) => return Ok((tenant, contact)),
            pair => (tenant, contact) = pair,
        }
    }
    let missing = if tenant.is_none() {
        Field::TenantId
    } else {
        Field::Data
    };
    Err(Reject::of(missing, Reason::Missing))
}

/// The bytes of the value of `data.contact_id`.
pub(super) fn contact_span(bytes: &[u8]) -> Result<Range<usize>, Reject> {
    let mut scanner = Scanner(Cursor::new(bytes));
    for name in [&b"data"[..], b"contact_id"] {
        scanner.seek(name)?;
    }
    scanner.0.token();
    let start = scanner.0.at;
    scanner.skip()?;
    Ok(start..scanner.0.at)
}

/// The bytes between two quotes, unchecked.
struct Quoted<'a> {
    raw: &'a [u8],
    is_escaped: bool,
}

impl<'a> Quoted<'a> {
    #[inline]
    fn is(&self, name: &[u8]) -> bool {
        if self.is_escaped {
            self.unescaped_is(name)
        } else {
            self.raw == name
        }
    }

    #[cold]
    fn unescaped_is(&self, name: &[u8]) -> bool {
        let text = std::str::from_utf8(self.raw)
            .ok()
            .and_then(|raw| unescape(raw).ok());
        text.is_some_and(|text| text.as_bytes() == name)
    }

    #[inline]
    fn text(&self) -> Result<Text<'a>, Reason> {
        let text = simdutf8::basic::from_utf8(self.raw).map_err(|_| Reason::NotUtf8)?;
        if !self.is_escaped {
            return Ok(Cow::Borrowed(text));
        }
        unescape(text).map(Cow::Owned)
    }
}

/// Skips values without checking them.
struct Scanner<'a>(Cursor<&'a [u8]>);

impl<'a> Scanner<'a> {
    /// Consumes the opening brace of a map. False if there is none.
    #[inline]
    fn enter_map(&mut self) -> bool {
        let is_map = self.0.token() == Some(b'{');
        self.0.at += usize::from(is_map);
        is_map
    }

    /// Enters a map, and moves to the value of the member with this name.
    fn seek(&mut self, name: &[u8]) -> Result<(), Reject> {
        let mut is_first = true;
        if self.enter_map() {
            while self.0.next_member(is_first, b'}')? {
                is_first = false;
                if self.key()?.is(name) {
                    return Ok(());
                }
                self.skip()?;
            }
        }
        Err(Reject::of(Field::ContactId, Reason::Missing))
    }

    /// Reads a key and moves to its value.
    #[inline]
    fn key(&mut self) -> Result<Quoted<'a>, Reject> {
        if self.0.token() != Some(b'"') {
            return Err(self.0.syntax_error());
        }
        let key = self.quoted()?;
        self.0.colon()?;
        Ok(key)
    }

    /// Reads a string; the position is at its opening quote.
    #[inline]
    fn quoted(&mut self) -> Result<Quoted<'a>, Reject> {
        let (bytes, start) = (self.0.input, self.0.at + 1);
        let mut is_escaped = false;
        let mut end = string_stop(bytes, start);
        while bytes.get(end) == Some(&b'\\') {
            is_escaped = true;
            end = string_stop(bytes, end + 2);
        }
        if bytes.get(end) != Some(&b'"') {
            return Err(self.broken_string(end));
        }
        self.0.at = end + 1;
        Ok(Quoted {
            raw: &bytes[start..end],
            is_escaped,
        })
    }

    #[inline]
    fn text(&mut self, field: Field) -> Result<Text<'a>, Reject> {
        match self.0.token() {
            Some(b'"') => {
                let text = self.quoted()?.text();
                text.map_err(|reason| Reject::of(field, reason))
            }
            Some(b'-' | b'0'..=b'9') => self
                .integer()
                .ok_or_else(|| Reject::of(field, Reason::NotAnIdType)),
            _ => Err(Reject::of(field, Reason::NotAnIdType)),
        }
    }

    /// The text of an integer; `None` for any other number.
    #[cold]
    fn integer(&mut self) -> Option<Text<'a>> {
        let start = self.0.at;
        while let Some(b'-' | b'+' | b'.' | b'0'..=b'9' | b'e' | b'E') = self.0.peek() {
            self.0.at += 1;
        }
        let text = &self.0.input[start..self.0.at];
        let is_integer = text.iter().all(|byte| matches!(byte, b'-' | b'0'..=b'9'));
        let text = std::str::from_utf8(text).ok().filter(|_| is_integer)?;
        Some(Cow::Borrowed(text))
    }

    /// Reads the contact id in `data`. Stops there if `is_last`, that is, if nothing else is
    /// needed; otherwise skips the rest of `data`.
    fn contact(&mut self, is_last: bool) -> Result<Text<'a>, Reject> {
        if !self.enter_map() {
            return Err(Reject::of(Field::Data, Reason::NotAMap));
        }
        let mut contact = None;
        let mut is_first = true;
        while self.0.next_member(is_first, b'}')? {
            is_first = false;
            if self.key()?.is(b"contact_id") {
                contact = Some(self.text(Field::ContactId)?);
                if is_last {
                    break;
                }
            } else {
                self.skip()?;
            }
        }
        contact.ok_or_else(|| Reject::of(Field::ContactId, Reason::Missing))
    }

    /// Skips a value: a string to its closing quote, a map or list to its balancing bracket, any
    /// other value to the first byte that cannot be part of it.
    #[inline]
    fn skip(&mut self) -> Result<(), Reject> {
        match self.0.token() {
            Some(b'"') => self.quoted().map(|_| ()),
            Some(b'{' | b'[') => self.skip_nested(),
            _ => {
                while let Some(b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'E') =
                    self.0.peek()
                {
                    self.0.at += 1;
                }
                Ok(())
            }
        }
    }

    fn skip_nested(&mut self) -> Result<(), Reject> {
        let mut depth = 0_usize;
        loop {
            match self.0.peek() {
                Some(b'"') => {
                    self.quoted()?;
                    continue;
                }
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']') => depth -= 1,
                Some(_) => {}
                None => return Err(self.0.syntax_error()),
            }
            self.0.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }

    #[cold]
    fn broken_string(&self, end: usize) -> Reject {
        let length = self.0.input.len();
        if end >= length {
            return Reject::at(length, Reason::EndsEarly);
        }
        Reject::at(end, Reason::RawControl)
    }
}
