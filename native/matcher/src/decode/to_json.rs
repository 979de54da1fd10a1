//! Converts the `data` of an event to JSON.

use super::value::{Kind, Number, Reader, Span};
use super::{json, msgpack};
use crate::event::RawData;
use crate::event::limits::DEPTH;
use crate::event::reject::{Reason, Reject};

/// The nesting depth of `data`; the envelope is level 1.
const DATA_DEPTH: usize = 2;

impl RawData<'_> {
    /// The data as compact JSON that Postgres can store as jsonb, with the values that the
    /// producer sent: integers and JSON numbers unchanged, MessagePack floats in their shortest
    /// form. The data must come from a decoded event; for other bytes the result is `null`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let written = match *self {
            RawData::MessagePack(bytes) => write::<msgpack::Reader>(bytes),
            RawData::Json(bytes) => write::<json::Reader>(bytes),
        };
        written.unwrap_or_else(|_| "null".to_owned())
    }
}

fn write<'a, R: Reader<'a>>(bytes: &'a [u8]) -> Result<String, Reject> {
    let mut reader = R::new(bytes)?;
    let mut to = String::with_capacity(bytes.len() + bytes.len() / 4);
    value(&mut reader, &mut to, DATA_DEPTH)?;
    reader.end()?;
    Ok(to)
}

fn value<'a, R: Reader<'a>>(reader: &mut R, to: &mut String, depth: usize) -> Result<(), Reject> {
    let span = reader.begin()?;
    let mut members = span.members();
    let mut separator = "";
    match span.kind() {
        Kind::Map | Kind::List if depth > DEPTH => return Err(Reject::new(Reason::TooDeep)),
        Kind::Map => {
            to.push('{');
            loop {
                let key = reader.next_key(&mut members)?;
                if key.is_absent() {
                    break;
                }
                to.push_str(std::mem::replace(&mut separator, ","));
                text(reader, key, to);
                to.push(':');
                value(reader, to, depth + 1)?;
            }
            to.push('}');
        }
        Kind::List => {
            to.push('[');
            while reader.next_item(&mut members)? {
                to.push_str(std::mem::replace(&mut separator, ","));
                value(reader, to, depth + 1)?;
            }
            to.push(']');
        }
        Kind::Text | Kind::Escaped => text(reader, span, to),
        Kind::Number => number(reader.number(span), to),
        Kind::True => to.push_str("true"),
        Kind::False => to.push_str("false"),
        Kind::Null | Kind::Absent => to.push_str("null"),
    }
    Ok(())
}

fn number(value: Number<'_>, to: &mut String) {
    match value {
        Number::Integer(value) => to.push_str(itoa::Buffer::new().format(value)),
        Number::Unsigned(value) => to.push_str(itoa::Buffer::new().format(value)),
        Number::Float(value) => to.push_str(zmij::Buffer::new().format_finite(value)),
        Number::Text(value) => to.push_str(value),
    }
}

/// Writes a string in quotes. A JSON string is copied with its escapes; in a MessagePack string,
/// characters that JSON does not allow are escaped.
fn text<'a, R: Reader<'a>>(reader: &R, span: Span, to: &mut String) {
    let mut rest = reader.raw_text(span);
    to.push('"');
    if span.kind() == Kind::Text {
        while let Some(at) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\') {
            let (plain, special) = rest.split_at(at);
            to.push_str(plain);
            push_escape(special.as_bytes()[0], to);
            rest = &special[1..];
        }
    }
    to.push_str(rest);
    to.push('"');
}

fn push_escape(byte: u8, to: &mut String) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' => to.push_str("\\\""),
        b'\\' => to.push_str("\\\\"),
        b'\n' => to.push_str("\\n"),
        b'\r' => to.push_str("\\r"),
        b'\t' => to.push_str("\\t"),
        _ => {
            to.push_str("\\u00");
            to.push(char::from(HEX[usize::from(byte >> 4)]));
            to.push(char::from(HEX[usize::from(byte & 0x0f)]));
        }
    }
}
