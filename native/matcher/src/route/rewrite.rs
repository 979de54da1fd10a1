//! Replaces the contact of an event in its raw bytes (E21).

use std::ops::Range;

use super::{json, msgpack};
use crate::event::reject::Reject;
use crate::wire::Encoding;

/// The event with this text as `data.contact_id`. All other bytes stay.
pub fn with_contact(event: &[u8], contact: &str) -> Result<Vec<u8>, Reject> {
    let (Range { start, end }, value) = match Encoding::of(event)? {
        Encoding::MessagePack => (msgpack::contact_span(event)?, msgpack_text(contact)),
        Encoding::Json => (json::contact_span(event)?, json_text(contact)),
    };
    Ok([&event[..start], &value, &event[end..]].concat())
}

fn json_text(text: &str) -> Vec<u8> {
    serde_json::Value::String(text.to_owned())
        .to_string()
        .into_bytes()
}

fn msgpack_text(text: &str) -> Vec<u8> {
    let length = (text.len() as u32).to_be_bytes();
    let header: &[u8] = match text.len() {
        0..=31 => &[0xa0 | length[3]],
        32..=255 => &[0xd9, length[3]],
        256..=65_535 => &[0xda, length[2], length[3]],
        _ => &[0xdb, length[0], length[1], length[2], length[3]],
    };
    [header, text.as_bytes()].concat()
}
