//! Slow path for JSON strings with escapes; strings without escapes are handled by the scanner.

use super::scan::string_stop;
use crate::event::reject::{Reason, Reject};

/// The meaning of an escape.
enum Escape {
    Character(char),
    Nul,
    LoneSurrogate,
}

/// Checks a string that is not closed at its first stop, whose position is `stop`. Returns the
/// position of the closing quote. NUL and lone surrogates are valid JSON; [`unescape`] rejects
/// them.
#[cold]
pub(crate) fn check_escaped(bytes: &[u8], stop: usize) -> Result<usize, Reject> {
    let mut at = stop;
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok(at),
            Some(b'\\') => {
                let (_, next) = escape(bytes, at).map_err(|reason| Reject::at(at, reason))?;
                at = string_stop(bytes, next);
            }
            Some(_) => return Err(Reject::at(at, Reason::RawControl)),
            None => return Err(Reject::at(at, Reason::EndsEarly)),
        }
    }
}

/// The content of a string with its escapes replaced, or why it is invalid.
pub(crate) fn unescape(raw: &str) -> Result<String, Reason> {
    replaced(raw, |escape| match escape {
        Escape::Character(character) => Ok(character),
        Escape::Nul => Err(Reason::Nul),
        Escape::LoneSurrogate => Err(Reason::LoneSurrogate),
    })
}

/// The same, with NUL and lone surrogates as U+FFFD. Empty if an escape is not valid JSON.
pub(crate) fn unescape_lossy(raw: &str) -> String {
    let text = replaced(raw, |escape| match escape {
        Escape::Character(character) => Ok(character),
        Escape::Nul | Escape::LoneSurrogate => Ok(char::REPLACEMENT_CHARACTER),
    });
    text.unwrap_or_default()
}

fn replaced(
    raw: &str,
    character: impl Fn(Escape) -> Result<char, Reason>,
) -> Result<String, Reason> {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let (escape, next) = escape(rest.as_bytes(), at)?;
        text.push(character(escape)?);
        rest = &rest[next..];
    }
    text.push_str(rest);
    Ok(text)
}

/// The escape at `at`, and the position after it.
fn escape(bytes: &[u8], at: usize) -> Result<(Escape, usize), Reason> {
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
    Ok((Escape::Character(character), at + 2))
}

fn unicode(bytes: &[u8], at: usize) -> Result<(Escape, usize), Reason> {
    let unit = hex(bytes, at)?;
    if unit == 0 {
        return Ok((Escape::Nul, at + 4));
    }
    if let Some(character) = char::from_u32(unit) {
        return Ok((Escape::Character(character), at + 4));
    }
    // Surrogates must be pairs: a high surrogate followed by a low surrogate.
    if unit < 0xdc00 && bytes.get(at + 4..at + 6) == Some(b"\\u") {
        let low = hex(bytes, at + 6)?;
        if (0xdc00..0xe000).contains(&low) {
            let code = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
            let character = char::from_u32(code).ok_or(Reason::LoneSurrogate)?;
            return Ok((Escape::Character(character), at + 10));
        }
    }
    Ok((Escape::LoneSurrogate, at + 4))
}

fn hex(bytes: &[u8], at: usize) -> Result<u32, Reason> {
    let digits = bytes.get(at..at + 4).ok_or(Reason::EndsEarly)?;
    digits.iter().try_fold(0, |unit, byte| {
        let digit = char::from(*byte).to_digit(16).ok_or(Reason::BadEscape)?;
        Ok(unit << 4 | digit)
    })
}
