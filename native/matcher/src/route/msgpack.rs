//! The routing key of a MessagePack event.

use std::borrow::Cow;

use crate::event::reject::{Reason, Reject};
use crate::event::{Field, Text};
use crate::wire::plain_text;

pub(super) fn routing_key(bytes: &[u8]) -> Result<(Text<'_>, Text<'_>), Reject> {
    let mut cursor = Cursor { bytes, at: 0 };
    let (mut tenant, mut contact) = (None, None);
    let members = cursor.map().ok_or(Reject::new(Reason::NotAnEvent))?;
    for _ in 0..members {
        match cursor.key()? {
            b"tenantid" => tenant = Some(cursor.text(Field::TenantId)?),
            b"data" => contact = Some(cursor.contact(tenant.is_some())?),
            _ => cursor.pass()?,
        }
        if let (Some(tenant), Some(contact)) = (tenant, contact) {
            return Ok((Cow::Borrowed(tenant), Cow::Borrowed(contact)));
        }
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

/// What a marker announces.
enum Next {
    /// So many bytes, and the value is passed.
    Bytes(usize),
    /// So many values within it.
    Values(usize),
}

impl<'a> Cursor<'a> {
    #[inline]
    fn marker(&mut self) -> Result<u8, Reject> {
        let marker = *self.bytes.get(self.at).ok_or_else(|| self.ends_early())?;
        self.at += 1;
        Ok(marker)
    }

    /// A length of `N` bytes, big-endian.
    #[inline]
    fn length<const N: usize>(&mut self) -> Result<usize, Reject> {
        let bytes = self.take(N)?;
        Ok(bytes
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte)))
    }

    #[inline]
    fn take(&mut self, count: usize) -> Result<&'a [u8], Reject> {
        let end = self.at.saturating_add(count);
        let bytes = self
            .bytes
            .get(self.at..end)
            .ok_or_else(|| self.ends_early())?;
        self.at = end;
        Ok(bytes)
    }

    #[cold]
    fn ends_early(&self) -> Reject {
        Reject::at(self.bytes.len(), Reason::EndsEarly)
    }

    /// Enters a map: the number of its members. `None` for another value.
    #[inline]
    fn map(&mut self) -> Option<usize> {
        match self.marker().ok()? {
            marker @ 0x80..=0x8f => Some(usize::from(marker & 0x0f)),
            0xde => self.length::<2>().ok(),
            0xdf => self.length::<4>().ok(),
            _ => None,
        }
    }

    /// A string, or `None` for another value.
    #[inline]
    fn string(&mut self) -> Result<Option<&'a [u8]>, Reject> {
        let length = match self.marker()? {
            marker @ 0xa0..=0xbf => usize::from(marker & 0x1f),
            0xd9 => self.length::<1>()?,
            0xda => self.length::<2>()?,
            0xdb => self.length::<4>()?,
            _ => return Ok(None),
        };
        self.take(length).map(Some)
    }

    #[inline]
    fn key(&mut self) -> Result<&'a [u8], Reject> {
        let place = self.at;
        self.string()?
            .ok_or_else(|| Reject::at(place, Reason::KeyNotText))
    }

    #[inline]
    fn text(&mut self, field: Field) -> Result<&'a str, Reject> {
        let bytes = self
            .string()?
            .ok_or_else(|| Reject::of(field, Reason::NotText))?;
        plain_text(bytes).map_err(|reason| Reject::of(field, reason))
    }

    /// The contact's id in `data`; the rest of it is passed over, unless this is the `last`
    /// that is looked for.
    fn contact(&mut self, last: bool) -> Result<&'a str, Reject> {
        let members = self
            .map()
            .ok_or_else(|| Reject::of(Field::Data, Reason::NotAMap))?;
        let mut contact = None;
        for _ in 0..members {
            if self.key()? != b"contact_id" {
                self.pass()?;
                continue;
            }
            contact = Some(self.text(Field::ContactId)?);
            if last {
                break;
            }
        }
        contact.ok_or_else(|| Reject::of(Field::ContactId, Reason::Missing))
    }

    /// Passes over a value. Each step takes a byte at least, so that a list which claims to be
    /// endless ends with the event.
    #[inline]
    fn pass(&mut self) -> Result<(), Reject> {
        let mut values = 1_usize;
        while values > 0 {
            values -= 1;
            match self.next()? {
                Next::Bytes(count) => {
                    self.take(count)?;
                }
                Next::Values(more) => values = values.saturating_add(more),
            }
        }
        Ok(())
    }

    #[inline]
    fn next(&mut self) -> Result<Next, Reject> {
        Ok(match self.marker()? {
            marker @ 0xa0..=0xbf => Next::Bytes(usize::from(marker & 0x1f)),
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => Next::Bytes(0),
            marker @ 0x80..=0x8f => Next::Values(2 * usize::from(marker & 0x0f)),
            marker @ 0x90..=0x9f => Next::Values(usize::from(marker & 0x0f)),
            0xd9 => Next::Bytes(self.length::<1>()?),
            0xda => Next::Bytes(self.length::<2>()?),
            0xdb => Next::Bytes(self.length::<4>()?),
            0xcc | 0xd0 => Next::Bytes(1),
            0xcd | 0xd1 => Next::Bytes(2),
            0xca | 0xce | 0xd2 => Next::Bytes(4),
            0xcb | 0xcf | 0xd3 => Next::Bytes(8),
            0xdc => Next::Values(self.length::<2>()?),
            0xdd => Next::Values(self.length::<4>()?),
            0xde => Next::Values(2 * self.length::<2>()?),
            0xdf => Next::Values(self.length::<4>()?.saturating_mul(2)),
            0xc4..=0xc9 | 0xd4..=0xd8 => return Err(self.refused(Reason::BinaryValue)),
            0xc1 => return Err(self.refused(Reason::UnknownMarker)),
        })
    }

    #[cold]
    fn refused(&self, reason: Reason) -> Reject {
        Reject::at(self.at - 1, reason)
    }
}
