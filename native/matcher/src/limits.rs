//! The limits of D9, in one place.

use crate::decode::is_printable_ascii;

/// Bytes of an event.
pub const EVENT_BYTES: usize = 64 * 1024;
/// Maps and lists within one another; the envelope itself is the first.
pub const DEPTH: usize = 32;
/// Keys of one map.
pub const MAP_KEYS: usize = 64;
/// Bytes of a string or key in UTF-8, without escapes; and of a number's text.
pub const STRING_BYTES: usize = 1024;
/// Characters of an id that the platform owns, and of `traceparent`.
pub const ID_CHARS: usize = 128;
/// Magnitude of the exponent of a JSON number.
pub const EXPONENT: u32 = 400;
/// Significant digits of an amount.
pub const AMOUNT_DIGITS: u32 = 18;
/// How far an event's time may lie ahead of the clock, in microseconds.
pub const AHEAD_US: i64 = 24 * 3600 * 1_000_000;

/// Whether `text` can be an id of the platform (§3.1): 1 to 128 characters, none of them a
/// control character. Eight bytes at a time; only text
/// beyond ASCII is taken apart.
#[must_use]
pub fn is_id(text: &str) -> bool {
    if text.is_empty() || text.len() > 4 * ID_CHARS {
        return false;
    }
    if text.len() <= ID_CHARS && is_printable_ascii(text.as_bytes()) {
        return true;
    }
    text.chars().count() <= ID_CHARS && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::is_id;

    #[test]
    fn an_id_is_counted_in_characters() {
        assert!(is_id("form-123"));
        assert!(is_id(&"é".repeat(128)));
        assert!(is_id(&"\u{1F600}".repeat(128)));
        assert!(!is_id(&"é".repeat(129)));
        assert!(!is_id(&"a".repeat(129)));
        assert!(!is_id(""));
    }

    #[test]
    fn an_id_has_no_control_characters() {
        for text in ["a\nb", "\u{7f}", "a\u{85}", "\u{0}", "\u{1b}[0m"] {
            assert!(!is_id(text), "{text:?}");
        }
        assert!(is_id("a b"));
    }
}
