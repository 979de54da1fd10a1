//! Slow path for JSON strings with escapes; strings without escapes are handled by the scanner.

use super::scan::string_stop;
use crate::event::limits::STRING_BYTES;
use crate::event::reject::{Reason, Reject};

/// Checks a string that is not closed at its first stop. `start` is the position after the
/// opening quote, `stop` that of the first stop. Returns the position of the closing quote.
#[cold]
pub(crate) fn check_escaped(bytes: &[u8], start: usize, stop: usize) -> Result<usize, Reject> {
    let (mut at, mut plain_start, mut length) = (stop, start, 0);
    loop {
        length += at - plain_start;
        if length > STRING_BYTES {
            return Err(Reject::at(start, Reason::LongString));
        }
        match bytes.get(at) {
            Some(b'"') => return Ok(at),
            Some(b'\\') => {
                let (character, next) =
                    escape(bytes, at).map_err(|reason| Reject::at(at, reason))?;
                length += character.len_utf8();
                plain_start = next;
                at = string_stop(bytes, next);
            }
            Some(_) => return Err(Reject::at(at, Reason::RawControl)),
            None => return Err(Reject::at(at, Reason::EndsEarly)),
        }
    }
}

/// The content of a string with its escapes replaced, or why an escape is invalid.
pub(crate) fn unescape(raw: &str) -> Result<String, Reason> {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let (character, next) = escape(rest.as_bytes(), at)?;
        text.push(character);
        rest = &rest[next..];
    }
    text.push_str(rest);
    Ok(text)
}

/// The character of the escape at `at`, and the position after the escape.
fn escape(bytes: &[u8], at: usize) -> Result<(char, usize), Reason> {
    let character = match bytes.get(at + 1) {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode(bytes, at + 2),
        Some(_) => return Err(Reason::BadEscape),
        None => return Err(Reason::EndsEarly),
    };
    Ok((character, at + 2))
}

fn unicode(bytes: &[u8], at: usize) -> Result<(char, usize), Reason> {
    let unit = hex(bytes, at)?;
    if unit == 0 {
        return Err(Reason::Nul);
    }
    if let Some(character) = char::from_u32(unit) {
        return Ok((character, at + 4));
    }
    // Surrogates must be pairs: a high surrogate followed by a low surrogate.
    if unit >= 0xdc00 || bytes.get(at + 4..at + 6) != Some(b"\\u") {
        return Err(Reason::LoneSurrogate);
    }
    let low = hex(bytes, at + 6)?;
    if !(0xdc00..0xe000).contains(&low) {
        return Err(Reason::LoneSurrogate);
    }
    let character = char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
    Ok((character.ok_or(Reason::LoneSurrogate)?, at + 10))
}

fn hex(bytes: &[u8], at: usize) -> Result<u32, Reason> {
    let digits = bytes.get(at..at + 4).ok_or(Reason::EndsEarly)?;
    digits.iter().try_fold(0, |unit, byte| {
        let digit = char::from(*byte).to_digit(16).ok_or(Reason::BadEscape)?;
        Ok(unit << 4 | digit)
    })
}
