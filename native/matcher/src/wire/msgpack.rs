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

    /// Consumes the type byte of a value.
    #[inline]
    pub fn marker(&mut self) -> Result<u8, Reject> {
        let marker = *self.bytes.get(self.at).ok_or_else(|| self.ends_early())?;
        self.at += 1;
        Ok(marker)
    }

    /// Consumes `N` bytes.
    #[inline]
    pub fn take<const N: usize>(&mut self) -> Result<[u8; N], Reject> {
        let rest = self.bytes.get(self.at..);
        match rest.and_then(<[u8]>::first_chunk::<N>) {
            Some(chunk) => {
                self.at += N;
                Ok(*chunk)
            }
            None => Err(self.ends_early()),
        }
    }

    /// Consumes `count` bytes.
    #[inline]
    pub fn take_slice(&mut self, count: usize) -> Result<&'a [u8], Reject> {
        let end = self.at.saturating_add(count);
        let slice = self
            .bytes
            .get(self.at..end)
            .ok_or_else(|| self.ends_early())?;
        self.at = end;
        Ok(slice)
    }

    /// Consumes a length of `N` bytes, big-endian.
    #[inline]
    pub fn length<const N: usize>(&mut self) -> Result<usize, Reject> {
        let bytes = self.take_slice(N)?;
        Ok(big_endian(bytes))
    }

    /// Consumes a string and returns its bytes. `None` for any other value, of which only the
    /// marker is consumed.
    #[inline]
    pub fn string(&mut self) -> Result<Option<&'a [u8]>, Reject> {
        let length = match self.marker()? {
            marker @ 0xa0..=0xbf => usize::from(marker & 0x1f),
            0xd9 => self.length::<1>()?,
            0xda => self.length::<2>()?,
            0xdb => self.length::<4>()?,
            _ => return Ok(None),
        };
        self.take_slice(length).map(Some)
    }

    #[cold]
    pub fn ends_early(&self) -> Reject {
        Reject::at(self.bytes.len(), Reason::EndsEarly)
    }
}

/// The value of a big-endian length.
#[inline]
pub(crate) fn big_endian(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .fold(0, |length, byte| length << 8 | usize::from(*byte))
}
