//! The name of a tag, and how names are compared (E16).

use std::borrow::Cow;

use caseless::Caseless;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// The name of a tag in criteria: compared in NFC, without white space around it and without regard
/// to case, unless the tenant distinguishes case.
#[derive(Debug, Clone, PartialEq)]
pub struct TagName {
    /// In NFC, without white space around it.
    exact: Box<str>,
    /// The same without regard to case.
    folded: Box<str>,
    is_case_sensitive: bool,
}

impl TagName {
    /// The name without regard to case.
    pub fn new(name: &str) -> TagName {
        TagName {
            exact: nfc(name).trim().into(),
            folded: folded(name).into(),
            is_case_sensitive: false,
        }
    }

    pub fn distinguish_case(&mut self) {
        self.is_case_sensitive = true;
    }

    /// Whether the name of an event is the same. Allocates only for text that is not ASCII.
    #[inline]
    pub fn is(&self, name: &str) -> bool {
        *self.exact == *name || (self.may_be(name) && self.is_folded(name))
    }

    /// False for most other names: those whose first two bytes are visible ASCII, so that the first
    /// character folds to a single byte, and to another than the criterion's.
    #[inline]
    fn may_be(&self, name: &str) -> bool {
        match (name.as_bytes(), self.folded.as_bytes().first()) {
            ([first_byte @ b'!'..=b'~', two, ..], Some(first)) if two.is_ascii() => {
                first_byte.to_ascii_lowercase() == *first
            }
            _ => true,
        }
    }

    fn is_folded(&self, name: &str) -> bool {
        if self.is_case_sensitive {
            return *self.exact == *nfc(name).trim();
        }
        if name.is_ascii() {
            return name.trim().eq_ignore_ascii_case(&self.folded);
        }
        *self.folded == *folded(name)
    }
}

/// The name in NFC, trimmed, case-folded (Unicode's full case folding) and in NFC again.
fn folded(name: &str) -> String {
    nfc(name).trim().chars().default_case_fold().nfc().collect()
}

/// The text in Unicode NFC; borrowed if it is already normalized.
fn nfc(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.nfc().collect())
}

#[cfg(test)]
mod tests {
    use super::TagName;

    fn same(criterion: &str, name: &str) -> bool {
        let (first, second) = (TagName::new(criterion), TagName::new(name));
        assert_eq!(
            first.is(name),
            second.is(criterion),
            "{criterion:?} {name:?}"
        );
        first.is(name)
    }

    #[test]
    fn names_that_differ_in_case_form_or_surrounding_spaces_are_the_same() {
        assert!(same("VIP", "vip"));
        assert!(same("VIP", " Vip\t"));
        assert!(same("caf\u{e9}", "CAFE\u{301}"));
        assert!(same("Stra\u{df}e", "STRASSE"));
        assert!(same(
            "\u{3a3}\u{3b9}\u{3c3}\u{3c5}\u{3c6}\u{3bf}\u{3c2}",
            "\u{3c3}\u{399}\u{3a3}\u{3c5}\u{3c6}\u{39f}\u{3c3}"
        ));
        assert!(same("\u{212a}elvin", "KELVIN"));
        assert!(same("e\u{301}cole", "\u{c9}COLE"));
        assert!(same("\u{a0}VIP\u{3000}", "vip"));
    }

    #[test]
    fn other_names_are_not_the_same() {
        assert!(!same("VIP", "VIPs"));
        assert!(!same("cafe", "caf\u{e9}"));
        assert!(!same("a b", "ab"));
        assert!(!same("\u{131}", "i"));
        assert!(!same("e\u{301}cole", "ecole"));
        assert!(!same("VIP", ""));
    }

    #[test]
    fn a_tenant_may_distinguish_case() {
        let mut name = TagName::new("Caf\u{e9}");
        name.distinguish_case();
        assert!(name.is("Caf\u{e9}"));
        assert!(name.is(" Cafe\u{301} "));
        assert!(!name.is("caf\u{e9}"));
    }
}
