//! A cursor over JSON.

use crate::event::reject::{Reason, Reject};

/// A position in JSON text. `T` is `&str` if the text is known to be UTF-8, else `&[u8]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<T> {
    pub input: T,
    pub at: usize,
}

impl<T: AsRef<[u8]> + Copy> Cursor<T> {
    #[inline]
    pub fn new(input: T) -> Self {
        Self { input, at: 0 }
    }

    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.input.as_ref().get(self.at).copied()
    }

    /// Skips whitespace and returns the byte after it, without consuming that byte.
    #[inline]
    pub fn token(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other,
            }
        }
    }

    /// Moves to the next member of a map or list, past a comma unless `is_first`. False, and
    /// past `close`, if there is none.
    #[inline]
    pub fn next_member(&mut self, is_first: bool, close: u8) -> Result<bool, Reject> {
        match self.token() {
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            Some(b',') if !is_first => {
                self.at += 1;
                Ok(true)
            }
            Some(_) if is_first => Ok(true),
            _ => Err(self.syntax_error()),
        }
    }

    /// Consumes the colon after a key.
    #[inline]
    pub fn colon(&mut self) -> Result<(), Reject> {
        if self.token() != Some(b':') {
            return Err(self.syntax_error());
        }
        self.at += 1;
        Ok(())
    }

    /// The error for a byte that JSON does not allow here, or for the end of the text.
    #[cold]
    pub fn syntax_error(&self) -> Reject {
        let reason = if self.at >= self.input.as_ref().len() {
            Reason::EndsEarly
        } else {
            Reason::NotJson
        };
        Reject::at(self.at, reason)
    }
}
