//! The properties of a contact that steps test.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// The id and the name of a tag, one of which may be absent.
pub type ContactTag = (Option<Box<str>>, Option<Box<str>>);

/// A contact, as the projection describes it.
#[derive(Debug, Clone, Default)]
pub struct Contact {
    /// `None`: nothing is known, which is allowed unless goald requires an opt-in (X12).
    pub opted_in: Option<bool>,
    pub timezone: Option<Box<str>>,
    pub tags: Vec<ContactTag>,
    /// JSON values, in which numbers keep every digit.
    attributes: BTreeMap<Box<str>, Box<RawValue>>,
}

impl Contact {
    /// Sets the attributes from a JSON object. False if it is none.
    pub fn set_attributes(&mut self, json: &str) -> bool {
        match serde_json::from_str(json) {
            Ok(attributes) => {
                self.attributes = attributes;
                true
            }
            Err(_) => false,
        }
    }

    /// The JSON text of an attribute; `None` if it is absent or null.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let value = self.attributes.get(name)?.get();
        (value != "null").then_some(value)
    }
}
