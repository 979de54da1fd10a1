//! The values that an enrollment carries, and that goals compare with fields of events (E17).

use std::collections::BTreeMap;

use arrayvec::ArrayVec;
use serde_json::Value;

use super::limits::{MATCH_NAME_BYTES, MATCH_PAIRS};

/// A name of at most 64 bytes, and an id.
type Pair = (Box<str>, Box<str>);

/// The values of an enrollment by name: 1 to 4, in the order of the names. One pointer, because
/// most enrollments have none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchValues(Box<ArrayVec<Pair, MATCH_PAIRS>>);

impl MatchValues {
    /// `None` if there are no pairs, or more than 4.
    pub fn new(pairs: impl IntoIterator<Item = Pair>) -> Option<MatchValues> {
        let mut values: Box<ArrayVec<Pair, MATCH_PAIRS>> = Box::default();
        for pair in pairs {
            values.try_push(pair).ok()?;
        }
        values.sort_unstable();
        (!values.is_empty()).then_some(MatchValues(values))
    }

    /// The value with this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let pair = self.0.iter().find(|(of, _)| **of == *name);
        pair.map(|(_, value)| &**value)
    }

    /// A JSON object, in the order of the names.
    pub fn to_value(&self) -> Value {
        let pairs = self.0.iter();
        pairs
            .map(|(name, value)| (name.to_string(), Value::from(&**value)))
            .collect()
    }

    /// The text of that object.
    pub fn to_json(&self) -> String {
        self.to_value().to_string()
    }

    /// Parses the JSON of `to_json`, in any order and with any white space.
    pub fn from_json(text: &str) -> Option<MatchValues> {
        let values: BTreeMap<Box<str>, Box<str>> = serde_json::from_str(text).ok()?;
        MatchValues::new(values)
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        let texts = self.0.iter().map(|(name, value)| name.len() + value.len());
        size_of::<ArrayVec<Pair, MATCH_PAIRS>>() + texts.sum::<usize>()
    }
}

/// Whether a goal may require a value of this name: 1 to 64 ASCII letters, digits, `_` and `-`.
pub fn is_match_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=MATCH_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::{MatchValues, is_match_name};

    #[test]
    fn values_are_found_by_name_and_survive_json() {
        let pairs = [("order", "\"7\"\u{e9}"), ("cart_id", "c-1")];
        let pairs = pairs.map(|(name, value)| (name.into(), value.into()));
        let values = MatchValues::new(pairs).unwrap();
        assert_eq!(values.get("cart_id"), Some("c-1"));
        assert_eq!(values.get("order"), Some("\"7\"\u{e9}"));
        assert_eq!(values.get("cart"), None);
        let json = values.to_json();
        assert_eq!(json, r#"{"cart_id":"c-1","order":"\"7\"é"}"#);
        assert_eq!(MatchValues::from_json(&json), Some(values));
    }

    #[test]
    fn there_are_1_to_4_values() {
        let of = |count: usize| {
            let pair = |number: usize| (format!("n{number}").into(), "v".into());
            MatchValues::new((0..count).map(pair))
        };
        assert_eq!(of(0), None);
        assert!(of(1).is_some() && of(4).is_some());
        assert_eq!(of(5), None);
        assert_eq!(MatchValues::from_json("{}"), None);
        assert_eq!(MatchValues::from_json("[]"), None);
    }

    #[test]
    fn a_name_is_a_short_identifier() {
        for name in ["cart_id", "Order-2", "x", &"n".repeat(64)] {
            assert!(is_match_name(name), "{name}");
        }
        for name in ["", "a b", "a.b", "caf\u{e9}", &"n".repeat(65)] {
            assert!(!is_match_name(name), "{name}");
        }
    }
}
