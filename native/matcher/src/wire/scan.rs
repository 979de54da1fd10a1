//! Scanning of text, eight bytes at a time.

use crate::event::reject::Reason;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks the zero bytes of `word`. Only the lowest mark is reliable: bytes above it may be
/// marked wrongly.
#[inline]
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

/// Marks the bytes of `word` that end a run of plain JSON text: a quote, a backslash, or a
/// control character. Only the lowest mark is reliable.
#[inline]
const fn stops(word: u64) -> u64 {
    let controls = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
    controls | zeros(word ^ (ONES * b'"' as u64)) | zeros(word ^ (ONES * b'\\' as u64))
}

/// The position of the first quote, backslash or control character at or after `at`, or the
/// length of `bytes`. About 1 ns for eight bytes.
#[inline]
pub(crate) fn string_stop(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let marks = stops(u64::from_le_bytes(*chunk));
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(byte) = bytes.get(at) {
        if *byte < 0x20 || *byte == b'"' || *byte == b'\\' {
            break;
        }
        at += 1;
    }
    at
}

/// The text of a MessagePack string: valid UTF-8 without NUL. ASCII is checked eight bytes at a
/// time, other text byte by byte.
#[inline]
pub(crate) fn plain_text(bytes: &[u8]) -> Result<&str, Reason> {
    if is_plain_ascii(bytes) {
        // SAFETY: every byte is below 0x80, and ASCII is UTF-8.
        return Ok(unsafe { std::str::from_utf8_unchecked(bytes) });
    }
    non_ascii_text(bytes)
}

#[cold]
fn non_ascii_text(bytes: &[u8]) -> Result<&str, Reason> {
    let text = std::str::from_utf8(bytes).map_err(|_| Reason::NotUtf8)?;
    if bytes.contains(&0) {
        Err(Reason::Nul)
    } else {
        Ok(text)
    }
}

#[inline]
fn is_plain_ascii(bytes: &[u8]) -> bool {
    // Marks a byte that is zero or not ASCII.
    no_marks(bytes, |word| (word.wrapping_sub(ONES) | word) & HIGHS)
}

/// Whether each byte is from 0x20 to 0x7E: ASCII without control characters.
#[inline]
pub(crate) fn is_printable_ascii(bytes: &[u8]) -> bool {
    no_marks(bytes, |word| {
        (word.wrapping_sub(ONES * 0x20) | word | word.wrapping_add(ONES)) & HIGHS
    })
}

/// Whether `mark` returns 0 for every word of `bytes`. `mark` must return 0 exactly for words
/// without a byte to be marked. If the length is not a multiple of eight, the last word overlaps
/// the one before it; text shorter than a word is padded with spaces or its own bytes.
#[inline]
fn no_marks(bytes: &[u8], mark: impl Fn(u64) -> u64) -> bool {
    let Some(last) = bytes.last_chunk::<8>() else {
        return mark(short_word(bytes)) == 0;
    };
    let mut marks = mark(u64::from_le_bytes(*last));
    let mut rest = bytes;
    while let Some((chunk, after)) = rest.split_first_chunk::<8>() {
        marks |= mark(u64::from_le_bytes(*chunk));
        rest = after;
    }
    marks == 0
}

/// Fewer than eight bytes, padded with spaces or with some of the same bytes.
#[inline]
fn short_word(bytes: &[u8]) -> u64 {
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>(), bytes) {
        (Some(low), Some(high), _) => {
            u64::from(u32::from_le_bytes(*low)) | u64::from(u32::from_le_bytes(*high)) << 32
        }
        (_, _, [first, middle @ .., last]) => {
            let middle = middle.first().unwrap_or(last);
            u64::from_le_bytes([*first, *middle, *last, b' ', b' ', b' ', b' ', b' '])
        }
        (_, _, [only]) => u64::from_le_bytes([*only, b' ', b' ', b' ', b' ', b' ', b' ', b' ']),
        _ => ONES * 0x20,
    }
}
