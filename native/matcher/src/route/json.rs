//! The routing key of a JSON event.

use std::borrow::Cow;

use crate::event::reject::{Reason, Reject};
use crate::event::{Field, Text};
use crate::wire::{string_stop, unescape};

pub(super) fn routing_key(bytes: &[u8]) -> Result<(Text<'_>, Text<'_>), Reject> {
    let mut cursor = Cursor { bytes, at: 0 };
    let (mut tenant, mut contact) = (None, None);
    let mut more = cursor
        .enter(b'{', b'}')
        .ok_or(Reject::new(Reason::NotAnEvent))?;
    while more {
        let key = cursor.key()?;
        if key.is(b"tenantid") {
            tenant = Some(cursor.text(Field::TenantId)?);
        } else if key.is(b"data") {
            contact = Some(cursor.contact(tenant.is_some())?);
        } else {
            cursor.pass()?;
        }
        match (tenant, contact) {
            (Some(tenant), Some(contact)) => return Ok((tenant, contact)),
            pair => (tenant, contact) = pair,
        }
        more = cursor.more(b'}')?;
    }
    let absent = if tenant.is_none() {
        Field::TenantId
    } else {
        Field::Data
    };
    Err(Reject::of(absent, Reason::Missing))
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// What lies between two quotes, not checked.
struct Quoted<'a> {
    raw: &'a [u8],
    escaped: bool,
}

impl<'a> Quoted<'a> {
    #[inline]
    fn is(&self, name: &[u8]) -> bool {
        if self.escaped {
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
        if !self.escaped {
            return Ok(Cow::Borrowed(text));
        }
        unescape(text).map(Cow::Owned)
    }
}

impl<'a> Cursor<'a> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
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

    /// Enters a map, and tells whether it has a member. `None` for another value.
    #[inline]
    fn enter(&mut self, open: u8, close: u8) -> Option<bool> {
        if self.solid() != Some(open) {
            return None;
        }
        self.at += 1;
        let empty = self.solid() == Some(close);
        self.at += usize::from(empty);
        Some(!empty)
    }

    /// Whether a member follows the one that has been read.
    #[inline]
    fn more(&mut self, close: u8) -> Result<bool, Reject> {
        let next = self.solid();
        if next != Some(b',') && next != Some(close) {
            return Err(self.fault());
        }
        self.at += 1;
        Ok(next == Some(b','))
    }

    /// A key, up to where its value begins.
    #[inline]
    fn key(&mut self) -> Result<Quoted<'a>, Reject> {
        if self.solid() != Some(b'"') {
            return Err(self.fault());
        }
        let key = self.quoted()?;
        if self.solid() != Some(b':') {
            return Err(self.fault());
        }
        self.at += 1;
        Ok(key)
    }

    /// A string, from its opening quote on.
    #[inline]
    fn quoted(&mut self) -> Result<Quoted<'a>, Reject> {
        let start = self.at + 1;
        let mut escaped = false;
        let mut end = string_stop(self.bytes, start);
        while self.bytes.get(end) == Some(&b'\\') {
            escaped = true;
            end = string_stop(self.bytes, end + 2);
        }
        if self.bytes.get(end) != Some(&b'"') {
            return Err(self.broken_string(end));
        }
        self.at = end + 1;
        Ok(Quoted {
            raw: &self.bytes[start..end],
            escaped,
        })
    }

    #[inline]
    fn text(&mut self, field: Field) -> Result<Text<'a>, Reject> {
        if self.solid() != Some(b'"') {
            return Err(Reject::of(field, Reason::NotText));
        }
        let text = self.quoted()?.text();
        text.map_err(|reason| Reject::of(field, reason))
    }

    /// The contact's id in `data`; the rest of it is passed over, unless this is the `last`
    /// that is looked for.
    fn contact(&mut self, last: bool) -> Result<Text<'a>, Reject> {
        let map = self.enter(b'{', b'}');
        let mut more = map.ok_or_else(|| Reject::of(Field::Data, Reason::NotAMap))?;
        let mut contact = None;
        while more {
            if self.key()?.is(b"contact_id") {
                contact = Some(self.text(Field::ContactId)?);
                if last {
                    break;
                }
            } else {
                self.pass()?;
            }
            more = self.more(b'}')?;
        }
        contact.ok_or_else(|| Reject::of(Field::ContactId, Reason::Missing))
    }

    /// Passes over a value: a string to its closing quote, a map or list to where its brackets
    /// are balanced, anything else to what ends it.
    #[inline]
    fn pass(&mut self) -> Result<(), Reject> {
        match self.solid() {
            Some(b'"') => self.quoted().map(|_| ()),
            Some(b'{' | b'[') => self.pass_nested(),
            _ => {
                while let Some(b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'E') = self.peek()
                {
                    self.at += 1;
                }
                Ok(())
            }
        }
    }

    fn pass_nested(&mut self) -> Result<(), Reject> {
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.quoted()?;
                    continue;
                }
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']') => depth -= 1,
                Some(_) => {}
                None => return Err(self.fault()),
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }

    #[cold]
    fn broken_string(&self, end: usize) -> Reject {
        if end >= self.bytes.len() {
            return Reject::at(self.bytes.len(), Reason::EndsEarly);
        }
        Reject::at(end, Reason::RawControl)
    }

    /// What is here is not what JSON asks for.
    #[cold]
    fn fault(&self) -> Reject {
        let ended = self.at >= self.bytes.len();
        Reject::at(
            self.at,
            if ended {
                Reason::EndsEarly
            } else {
                Reason::NotJson
            },
        )
    }
}
