//! Validation of ids that the platform owns.

use std::borrow::Cow;

use super::value::Number;
use crate::event::Text;
use crate::event::limits::{ID_BYTES, ID_CHARS};
use crate::wire::is_printable_ascii;

/// The decimal text of an integer; `None` for any other number.
#[must_use]
pub(super) fn integer_text(number: Number<'_>) -> Option<Text<'_>> {
    match number {
        Number::Integer(value) => Some(Cow::Owned(value.to_string())),
        Number::Unsigned(value) => Some(Cow::Owned(value.to_string())),
        Number::Text(text) => is_integer(text).then_some(Cow::Borrowed(text)),
        Number::Float(_) => None,
    }
}

/// The decimal text of a number; `None` if it is not finite.
#[must_use]
pub(super) fn number_text(number: Number<'_>) -> Option<Text<'_>> {
    match number {
        Number::Float(value) if value.is_finite() => Some(Cow::Owned(
            zmij::Buffer::new().format_finite(value).to_owned(),
        )),
        Number::Float(_) => None,
        Number::Text(text) => Some(Cow::Borrowed(text)),
        Number::Integer(_) | Number::Unsigned(_) => integer_text(number),
    }
}

fn is_integer(text: &str) -> bool {
    !text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
}

/// Whether `text` is a valid id: 1 to 256 characters, at most 768 bytes, without control or
/// invisible characters (D9). ASCII is checked eight bytes at a time, other text by character.
#[must_use]
pub fn is_id(text: &str) -> bool {
    if text.is_empty() || text.len() > ID_BYTES {
        return false;
    }
    if text.len() <= ID_CHARS && is_printable_ascii(text.as_bytes()) {
        return true;
    }
    text.chars().count() <= ID_CHARS
        && !text
            .chars()
            .any(|char| char.is_control() || is_invisible(char))
}

/// Whether a character is shown as nothing, or reorders its neighbours: two ids could look equal, or
/// an id like another text. The characters of Unicode's `Default_Ignorable_Code_Point`, which
/// include all bidirectional controls; the line and paragraph separators; and the marks of
/// interlinear annotations. The same list is in `goald.domain.ids`.
const fn is_invisible(char: char) -> bool {
    matches!(
        char,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::is_id;

    #[test]
    fn an_id_has_at_most_256_characters_and_768_bytes() {
        assert!(is_id("form-123"));
        assert!(is_id(&"é".repeat(256)));
        assert!(is_id(&"カ".repeat(256)));
        assert!(!is_id(&"é".repeat(257)));
        assert!(!is_id(&"a".repeat(257)));
        assert!(is_id(&"\u{1F600}".repeat(192)));
        assert!(!is_id(&"\u{1F600}".repeat(193)));
        assert!(!is_id(""));
    }

    #[test]
    fn an_id_has_no_control_characters() {
        for text in ["a\nb", "\u{7f}", "a\u{85}", "\u{0}", "\u{1b}[0m"] {
            assert!(!is_id(text), "{text:?}");
        }
        assert!(is_id("a b"));
    }

    #[test]
    fn an_id_has_no_invisible_characters() {
        for char in
            "\u{ad}\u{61c}\u{200b}\u{200f}\u{202e}\u{2069}\u{feff}\u{fe0f}\u{e0041}\u{2028}".chars()
        {
            assert!(!is_id(&format!("a{char}b")), "{char:?}");
            assert!(!is_id(&char.to_string()), "{char:?}");
        }
        for text in [
            "caf\u{e9}",
            "cafe\u{301}",
            "\u{1f3af}",
            "\u{5e9}\u{5dc}",
            "\u{a0}",
        ] {
            assert!(is_id(text), "{text:?}");
        }
    }
}
