//! MessagePack, read in place.

use super::scan::plain_text;
use super::value::{Begun, Members, RawText, Value};
use crate::event::RawData;
use crate::limits::STRING_BYTES;
use crate::reject::{Reason, Reject};

pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Reject> {
        match self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<N>) {
            Some(chunk) => {
                self.at += N;
                Ok(*chunk)
            }
            None => Err(self.ends_early()),
        }
    }

    #[inline]
    fn length<const N: usize>(&mut self) -> Result<usize, Reject> {
        let bytes = self.take::<N>()?;
        Ok(bytes
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte)))
    }

    #[inline]
    fn text(&mut self, length: usize) -> Result<RawText<'a>, Reject> {
        if length > STRING_BYTES {
            return Err(Reject::at(self.at, Reason::LongString));
        }
        let Some(bytes) = self.bytes.get(self.at..self.at + length) else {
            return Err(self.ends_early());
        };
        let raw = plain_text(bytes).map_err(|reason| Reject::at(self.at, reason))?;
        self.at += length;
        Ok(RawText {
            raw,
            escaped: false,
        })
    }

    #[inline]
    fn float(&self, value: f64) -> Result<Value<'a>, Reject> {
        if value.is_finite() {
            return Ok(Value::Float(value));
        }
        Err(Reject::at(self.at, Reason::NotFinite))
    }

    #[cold]
    fn ends_early(&self) -> Reject {
        Reject::at(self.bytes.len(), Reason::EndsEarly)
    }

    /// The values that are rare in an event, and those that are refused.
    fn other(&mut self, marker: u8) -> Result<Begun<'a>, Reject> {
        Ok(Begun::Scalar(match marker {
            0xca => self
                .take()
                .map(f32::from_be_bytes)
                .and_then(|v| self.float(v.into()))?,
            0xcc => Value::Unsigned(self.take::<1>()?[0].into()),
            0xcd => Value::Unsigned(u16::from_be_bytes(self.take()?).into()),
            0xce => Value::Unsigned(u32::from_be_bytes(self.take()?).into()),
            0xcf => Value::Unsigned(u64::from_be_bytes(self.take()?)),
            0xd0 => Value::Integer(i8::from_be_bytes(self.take()?).into()),
            0xd1 => Value::Integer(i16::from_be_bytes(self.take()?).into()),
            0xd2 => Value::Integer(i32::from_be_bytes(self.take()?).into()),
            0xd3 => Value::Integer(i64::from_be_bytes(self.take()?)),
            0xda => self
                .length::<2>()
                .and_then(|length| self.text(length))
                .map(Value::Text)?,
            0xdb => self
                .length::<4>()
                .and_then(|length| self.text(length))
                .map(Value::Text)?,
            0xdc => return Ok(Begun::List(Members(self.length::<2>()?))),
            0xdd => return Ok(Begun::List(Members(self.length::<4>()?))),
            0xde => return Ok(Begun::Map(Members(self.length::<2>()?))),
            0xdf => return Ok(Begun::Map(Members(self.length::<4>()?))),
            0xc4..=0xc9 | 0xd4..=0xd8 => {
                return Err(Reject::at(self.at - 1, Reason::BinaryValue));
            }
            _ => return Err(Reject::at(self.at - 1, Reason::UnknownMarker)),
        }))
    }
}

impl<'a> super::value::Reader<'a> for Reader<'a> {
    fn part(bytes: &'a [u8]) -> Result<Self, Reject> {
        Ok(Self::new(bytes))
    }

    fn raw(bytes: &'a [u8]) -> RawData<'a> {
        RawData::MessagePack(bytes)
    }

    #[inline]
    fn place(&mut self) -> usize {
        self.at
    }

    #[inline]
    fn since(&self, place: usize) -> &'a [u8] {
        &self.bytes[place..self.at]
    }

    #[inline]
    fn begin(&mut self) -> Result<Begun<'a>, Reject> {
        let [marker] = self.take()?;
        Ok(Begun::Scalar(match marker {
            0xa0..=0xbf => Value::Text(self.text(usize::from(marker & 0x1f))?),
            0xd9 => self
                .length::<1>()
                .and_then(|length| self.text(length))
                .map(Value::Text)?,
            0x00..=0x7f => Value::Integer(marker.into()),
            0xe0..=0xff => Value::Integer((marker as i8).into()),
            0xc0 => Value::Null,
            0xc2 | 0xc3 => Value::Bool(marker == 0xc3),
            0xcb => self
                .take()
                .map(f64::from_be_bytes)
                .and_then(|v| self.float(v))?,
            0x80..=0x8f => return Ok(Begun::Map(Members(usize::from(marker & 0x0f)))),
            0x90..=0x9f => return Ok(Begun::List(Members(usize::from(marker & 0x0f)))),
            _ => return self.other(marker),
        }))
    }

    #[inline]
    fn next_key(&mut self, members: &mut Members) -> Result<Option<RawText<'a>>, Reject> {
        if members.0 == 0 {
            return Ok(None);
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
        self.text(length).map(Some)
    }

    #[inline]
    fn next_item(&mut self, members: &mut Members) -> Result<bool, Reject> {
        let more = members.0 > 0;
        members.0 = members.0.saturating_sub(1);
        Ok(more)
    }

    fn end(self) -> Result<(), Reject> {
        if self.at == self.bytes.len() {
            return Ok(());
        }
        Err(Reject::at(self.at, Reason::TrailingBytes))
    }
}
