//! A cursor over MessagePack.

use crate::event::reject::{Reason, Reject};

/// A position in MessagePack bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
}

impl<'a> Cursor<'a> {
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The number of bytes after the position.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Consumes `N` bytes.
    #[inline]
    pub fn take<const N: usize>(&mut self) -> Result<[u8; N], Reject> {
        let chunk = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<N>);
        let chunk = *chunk.ok_or_else(|| self.ends_early())?;
        self.at += N;
        Ok(chunk)
    }

    /// Consumes `count` bytes.
    #[inline]
    pub fn take_slice(&mut self, count: usize) -> Result<&'a [u8], Reject> {
        let end = self.at.saturating_add(count);
        let slice = self.bytes.get(self.at..end);
        let slice = slice.ok_or_else(|| self.ends_early())?;
        self.at = end;
        Ok(slice)
    }

    /// Consumes the type byte of a value.
    #[inline]
    pub fn marker(&mut self) -> Result<u8, Reject> {
        let marker = *self.bytes.get(self.at).ok_or_else(|| self.ends_early())?;
        self.at += 1;
        Ok(marker)
    }

    /// Consumes a length of `N` bytes, big-endian.
    #[inline]
    pub fn length<const N: usize>(&mut self) -> Result<usize, Reject> {
        let bytes = self.take_slice(N)?;
        Ok(bytes
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte)))
    }

    /// Consumes the marker and length of a string. `None` for any other value, of which only
    /// the marker is consumed.
    #[inline]
    pub fn string_length(&mut self) -> Result<Option<usize>, Reject> {
        Ok(Some(match self.marker()? {
            marker @ 0xa0..=0xbf => usize::from(marker & 0x1f),
            0xd9 => self.length::<1>()?,
            0xda => self.length::<2>()?,
            0xdb => self.length::<4>()?,
            _ => return Ok(None),
        }))
    }

    #[cold]
    pub fn ends_early(&self) -> Reject {
        Reject::at(self.bytes.len(), Reason::EndsEarly)
    }
}
