//! Looking through text eight bytes at a time.

use crate::reject::Reason;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks the bytes of `word` that are zero. Only the lowest mark is sure: a byte above a
/// marked one may be marked wrongly.
#[inline]
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

/// Marks the bytes of `word` that end a run of plain JSON text: a quote, a backslash, or a
/// control character. The lowest mark is sure.
#[inline]
const fn stops(word: u64) -> u64 {
    let controls = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
    controls | zeros(word ^ (ONES * b'"' as u64)) | zeros(word ^ (ONES * b'\\' as u64))
}

/// The first quote, backslash or control character at or after `at`, or the end. About 1 ns
/// for eight bytes.
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

/// Text of a MessagePack string: valid UTF-8 without NUL. The check of ASCII reads eight bytes
/// at a time; other text is checked byte by byte.
#[inline]
pub(crate) fn plain_text(bytes: &[u8]) -> Result<&str, Reason> {
    if is_plain_ascii(bytes) {
        // SAFETY: every byte is below 0x80, and ASCII is UTF-8.
        return Ok(unsafe { std::str::from_utf8_unchecked(bytes) });
    }
    other_text(bytes)
}

#[cold]
fn other_text(bytes: &[u8]) -> Result<&str, Reason> {
    let text = std::str::from_utf8(bytes).map_err(|_| Reason::NotUtf8)?;
    if bytes.contains(&0) {
        Err(Reason::Nul)
    } else {
        Ok(text)
    }
}

/// Whether each byte is from 1 to 127. Text that is not a multiple of eight bytes long ends
/// with a word that overlaps the one before.
#[inline]
fn is_plain_ascii(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk::<8>() else {
        return is_short_plain_ascii(bytes);
    };
    let mut odd = marked(u64::from_le_bytes(*last));
    let mut rest = bytes;
    while let Some((chunk, after)) = rest.split_first_chunk::<8>() {
        odd |= marked(u64::from_le_bytes(*chunk));
        rest = after;
    }
    odd == 0
}

#[inline]
fn is_short_plain_ascii(bytes: &[u8]) -> bool {
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            let low = u64::from(u32::from_le_bytes(*first));
            let high = u64::from(u32::from_le_bytes(*last));
            marked(low | high << 32) == 0
        }
        _ => bytes.iter().all(|byte| (1..0x80).contains(byte)),
    }
}

/// Not zero where a byte of `word` is zero or beyond ASCII.
#[inline]
const fn marked(word: u64) -> u64 {
    (word.wrapping_sub(ONES) | word) & HIGHS
}
