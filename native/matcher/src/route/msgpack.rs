//! The routing key of a MessagePack event.

use std::borrow::Cow;
use std::ops::Range;

use crate::event::reject::{Reason, Reject};
use crate::event::{Field, Text};
use crate::wire::msgpack::Cursor;
use crate::wire::plain_text;

pub(super) fn routing_key(bytes: &[u8]) -> Result<(Text<'_>, Text<'_>), Reject> {
    let mut scanner = Scanner(Cursor::new(bytes));
    let (mut tenant, mut contact) = (None, None);
    let members = scanner.enter_map().ok_or(Reject::new(Reason::NotAnEvent))?;
    for _ in 0..members {
        match scanner.key()? {
            b"tenantid" => tenant = Some(scanner.text(Field::TenantId)?),
            b"data" => contact = Some(scanner.contact(tenant.is_some())?),
            _ => scanner.skip()?,
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
    let start = scanner.0.at;
    scanner.skip()?;
    Ok(start..scanner.0.at)
}

/// The content that follows a marker.
enum Content {
    Bytes(usize),
    Values(usize),
}

/// Skips values without checking them.
struct Scanner<'a>(Cursor<'a>);

impl<'a> Scanner<'a> {
    /// Enters a map and returns the number of its members. `None` for any other value.
    #[inline]
    fn enter_map(&mut self) -> Option<usize> {
        match self.0.marker().ok()? {
            marker @ 0x80..=0x8f => Some(usize::from(marker & 0x0f)),
            0xde => self.0.length::<2>().ok(),
            0xdf => self.0.length::<4>().ok(),
            _ => None,
        }
    }

    /// Enters a map, and moves to the value of the member with this name.
    fn seek(&mut self, name: &[u8]) -> Result<(), Reject> {
        for _ in 0..self.enter_map().unwrap_or(0) {
            if self.key()? == name {
                return Ok(());
            }
            self.skip()?;
        }
        Err(Reject::of(Field::ContactId, Reason::Missing))
    }

    #[inline]
    fn key(&mut self) -> Result<&'a [u8], Reject> {
        let start = self.0.at;
        self.0
            .string()?
            .ok_or_else(|| Reject::at(start, Reason::KeyNotText))
    }

    #[inline]
    fn text(&mut self, field: Field) -> Result<Text<'a>, Reject> {
        let start = self.0.at;
        match self.0.string()? {
            Some(bytes) => plain_text(bytes)
                .map(Cow::Borrowed)
                .map_err(|reason| Reject::of(field, reason)),
            None => {
                self.0.at = start;
                self.integer()?
                    .ok_or_else(|| Reject::of(field, Reason::NotAnIdType))
            }
        }
    }

    /// The decimal text of an integer; `None` for any other value.
    #[cold]
    fn integer(&mut self) -> Result<Option<Text<'a>>, Reject> {
        let marker = self.0.marker()?;
        let value = match marker {
            0x00..=0x7f => i128::from(marker),
            0xe0..=0xff => i128::from(marker as i8),
            0xcc => i128::from(u8::from_be_bytes(self.0.take()?)),
            0xcd => i128::from(u16::from_be_bytes(self.0.take()?)),
            0xce => i128::from(u32::from_be_bytes(self.0.take()?)),
            0xcf => i128::from(u64::from_be_bytes(self.0.take()?)),
            0xd0 => i128::from(i8::from_be_bytes(self.0.take()?)),
            0xd1 => i128::from(i16::from_be_bytes(self.0.take()?)),
            0xd2 => i128::from(i32::from_be_bytes(self.0.take()?)),
            0xd3 => i128::from(i64::from_be_bytes(self.0.take()?)),
            _ => return Ok(None),
        };
        Ok(Some(Cow::Owned(value.to_string())))
    }

    /// Reads the contact id in `data`. Stops there if `is_last`, that is, if nothing else is
    /// needed; otherwise skips the rest of `data`.
    fn contact(&mut self, is_last: bool) -> Result<Text<'a>, Reject> {
        let members = self
            .enter_map()
            .ok_or_else(|| Reject::of(Field::Data, Reason::NotAMap))?;
        let mut contact = None;
        for _ in 0..members {
            if self.key()? != b"contact_id" {
                self.skip()?;
                continue;
            }
            contact = Some(self.text(Field::ContactId)?);
            if is_last {
                break;
            }
        }
        contact.ok_or_else(|| Reject::of(Field::ContactId, Reason::Missing))
    }

    /// Skips a value. Each iteration consumes at least one byte, so that the length of the event
    /// bounds the loop, whatever number of items a list claims.
    #[inline]
    fn skip(&mut self) -> Result<(), Reject> {
        let mut values = 1_usize;
        while values > 0 {
            values -= 1;
            match self.content()? {
                Content::Bytes(count) => {
                    self.0.take_slice(count)?;
                }
                Content::Values(more) => values = values.saturating_add(more),
            }
        }
        Ok(())
    }

    #[inline]
    fn content(&mut self) -> Result<Content, Reject> {
        Ok(match self.0.marker()? {
            marker @ 0xa0..=0xbf => Content::Bytes(usize::from(marker & 0x1f)),
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => Content::Bytes(0),
            marker @ 0x80..=0x8f => Content::Values(2 * usize::from(marker & 0x0f)),
            marker @ 0x90..=0x9f => Content::Values(usize::from(marker & 0x0f)),
            0xd9 => Content::Bytes(self.0.length::<1>()?),
            0xda => Content::Bytes(self.0.length::<2>()?),
            0xdb => Content::Bytes(self.0.length::<4>()?),
            0xcc | 0xd0 => Content::Bytes(1),
            0xcd | 0xd1 => Content::Bytes(2),
            0xca | 0xce | 0xd2 => Content::Bytes(4),
            0xcb | 0xcf | 0xd3 => Content::Bytes(8),
            0xdc => Content::Values(self.0.length::<2>()?),
            0xdd => Content::Values(self.0.length::<4>()?),
            0xde => Content::Values(2 * self.0.length::<2>()?),
            0xdf => Content::Values(self.0.length::<4>()?.saturating_mul(2)),
            0xc4 => Content::Bytes(self.0.length::<1>()?),
            0xc5 => Content::Bytes(self.0.length::<2>()?),
            0xc6 => Content::Bytes(self.0.length::<4>()?),
            0xc7 => Content::Bytes(self.0.length::<1>()? + 1),
            0xc8 => Content::Bytes(self.0.length::<2>()? + 1),
            0xc9 => Content::Bytes(self.0.length::<4>()? + 1),
            marker @ 0xd4..=0xd8 => Content::Bytes((1 << (marker - 0xd4)) + 1),
            0xc1 => return Err(self.invalid(Reason::UnknownMarker)),
        })
    }

    #[cold]
    fn invalid(&self, reason: Reason) -> Reject {
        Reject::at(self.0.at - 1, reason)
    }
}
