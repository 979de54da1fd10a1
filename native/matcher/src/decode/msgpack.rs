//! MessagePack, read in place.

use super::value::{Kind, Members, Number, Spot};
use crate::event::RawData;
use crate::event::limits::{EVENT_BYTES, STRING_BYTES};
use crate::event::reject::{Reason, Reject};
use crate::wire::plain_text;

pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// The next `N` bytes.
    #[inline]
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Reject> {
        match first_chunk(self.bytes, self.at) {
            Some(chunk) => {
                self.at += N;
                Ok(chunk)
            }
            None => Err(self.ends_early()),
        }
    }

    /// The length that the next bytes hold.
    #[inline]
    fn length<const N: usize>(&mut self) -> Result<usize, Reject> {
        Ok(big_endian(&self.take::<N>()?))
    }

    /// A string, whose text is not checked.
    #[inline]
    fn any_string(&mut self, length: usize) -> Result<Spot, Reject> {
        if length > STRING_BYTES {
            return Err(Reject::at(self.at, Reason::LongString));
        }
        if length > self.bytes.len() - self.at {
            return Err(self.ends_early());
        }
        self.at += length;
        Ok(Spot::new(Kind::Text, self.at - length, length))
    }

    #[inline]
    fn string(&mut self, length: usize) -> Result<Spot, Reject> {
        let spot = self.any_string(length)?;
        self.check_text(spot)?;
        Ok(spot)
    }

    #[inline]
    fn check_text(&self, spot: Spot) -> Result<(), Reject> {
        match plain_text(&self.bytes[spot.start()..spot.end()]) {
            Ok(_) => Ok(()),
            Err(reason) => Err(Reject::at(spot.start(), reason)),
        }
    }

    /// A number of `N` bytes after its marker, at `start`.
    #[inline]
    fn sized<const N: usize>(&mut self, start: usize) -> Result<Spot, Reject> {
        self.take::<N>()?;
        Ok(Spot::new(Kind::Number, start, 1 + N))
    }

    fn float<const N: usize>(&mut self, start: usize) -> Result<Spot, Reject> {
        let spot = self.sized::<N>(start)?;
        match number(&self.bytes[start..self.at]) {
            Some(Number::Float(value)) if !value.is_finite() => {
                Err(Reject::at(start, Reason::NotFinite))
            }
            _ => Ok(spot),
        }
    }

    /// Enters a map or list. One that claims more members than bytes are left ends too early.
    #[inline]
    fn enter(&mut self, kind: Kind, start: usize, members: usize) -> Result<Spot, Reject> {
        if members > self.bytes.len() - self.at {
            return Err(self.ends_early());
        }
        Ok(Spot::new(kind, start, members))
    }

    #[cold]
    fn ends_early(&self) -> Reject {
        Reject::at(self.bytes.len(), Reason::EndsEarly)
    }

    /// The values that are rare in an event, and those that are refused.
    #[inline(never)]
    fn rare(&mut self, marker: u8, start: usize) -> Result<Spot, Reject> {
        match marker {
            0xcc | 0xd0 => self.sized::<1>(start),
            0xcd | 0xd1 => self.sized::<2>(start),
            0xce | 0xd2 => self.sized::<4>(start),
            0xcf | 0xd3 => self.sized::<8>(start),
            0xca => self.float::<4>(start),
            0xcb => self.float::<8>(start),
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
            0xc4..=0xc9 | 0xd4..=0xd8 => Err(Reject::at(start, Reason::BinaryValue)),
            _ => Err(Reject::at(start, Reason::UnknownMarker)),
        }
    }
}

#[inline]
fn first_chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..).and_then(<[u8]>::first_chunk::<N>).copied()
}

#[inline]
fn big_endian(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .fold(0, |length, byte| length << 8 | usize::from(*byte))
}

/// A number from its marker on.
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
        if bytes.len() > EVENT_BYTES {
            return Err(Reject::new(Reason::TooLarge));
        }
        Ok(Self { bytes, at: 0 })
    }

    fn raw(bytes: &'a [u8]) -> RawData<'a> {
        RawData::MessagePack(bytes)
    }

    #[inline]
    fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    #[inline]
    fn begin(&mut self) -> Result<Spot, Reject> {
        let start = self.at;
        let [marker] = self.take()?;
        match marker {
            0xa0..=0xbf => self.string(usize::from(marker & 0x1f)),
            0xd9 => {
                let length = self.length::<1>()?;
                self.string(length)
            }
            0x00..=0x7f | 0xe0..=0xff => Ok(Spot::new(Kind::Number, start, 1)),
            0x80..=0x8f => self.enter(Kind::Map, start, usize::from(marker & 0x0f)),
            0x90..=0x9f => self.enter(Kind::List, start, usize::from(marker & 0x0f)),
            0xc0 => Ok(Spot::new(Kind::Null, start, 1)),
            0xc2 => Ok(Spot::new(Kind::False, start, 1)),
            0xc3 => Ok(Spot::new(Kind::True, start, 1)),
            _ => self.rare(marker, start),
        }
    }

    #[inline]
    fn next_key(&mut self, members: &mut Members) -> Result<Spot, Reject> {
        if members.0 == 0 {
            return Ok(Spot::ABSENT);
        }
        members.0 -= 1;
        let [marker] = self.take()?;
        let length = match marker {
            0xa0..=0xbf => usize::from(marker & 0x1f),
            0xd9 => self.length::<1>()?,
            0xda => self.length::<2>()?,
            0xdb => self.length::<4>()?,
            _ => return Err(Reject::at(self.at - 1, Reason::KeyNotText)),
        };
        self.any_string(length)
    }

    #[inline]
    fn check_key(&self, key: Spot) -> Result<(), Reject> {
        self.check_text(key)
    }

    #[inline]
    fn next_item(&mut self, members: &mut Members) -> Result<bool, Reject> {
        let more = members.0 > 0;
        members.0 = members.0.saturating_sub(1);
        Ok(more)
    }

    #[inline]
    fn end(&mut self) -> Result<(), Reject> {
        if self.at == self.bytes.len() {
            return Ok(());
        }
        Err(Reject::at(self.at, Reason::TrailingBytes))
    }

    #[inline]
    fn raw_text(&self, spot: Spot) -> &'a str {
        plain_text(&self.bytes[spot.start()..spot.end()]).unwrap_or_default()
    }

    fn number(&self, spot: Spot) -> Number<'a> {
        number(&self.bytes[spot.start()..spot.end()]).unwrap_or(Number::Integer(0))
    }

    #[inline]
    fn passed(&mut self, spot: Spot) -> Spot {
        Spot::new(spot.kind(), spot.start(), self.at - spot.start())
    }
}
