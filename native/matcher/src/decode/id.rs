//! Validation of ids that the platform owns.

use crate::event::limits::ID_CHARS;
use crate::wire::is_printable_ascii;

/// Whether `text` is a valid id: 1 to 128 characters, without control characters (D9). ASCII is
/// checked eight bytes at a time, other text by character.
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
    fn the_length_of_an_id_is_in_characters() {
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
