//! The `data` of an event as JSON text.

use super::value::{Begun, RawText, Reader, Value};
use super::{json, msgpack};
use crate::event::RawData;
use crate::limits::DEPTH;
use crate::reject::{Reason, Reject};

impl RawData<'_> {
    /// The data as compact JSON text that Postgres stores as jsonb, and that is equal to what
    /// the producer sent: integers and JSON's numbers as they are, MessagePack's floats in
    /// their shortest text. For the data of a decoded event; other bytes give `null`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let written = match *self {
            RawData::MessagePack(bytes) => write(msgpack::Reader::part(bytes)),
            RawData::Json(bytes) => write(json::Reader::part(bytes)),
        };
        written.unwrap_or_else(|_| "null".to_owned())
    }
}

fn write<'a, R: Reader<'a>>(reader: Result<R, Reject>) -> Result<String, Reject> {
    let mut reader = reader?;
    let mut to = String::with_capacity(256);
    value(&mut reader, &mut to, 2)?;
    reader.end()?;
    Ok(to)
}

fn value<'a, R: Reader<'a>>(reader: &mut R, to: &mut String, depth: usize) -> Result<(), Reject> {
    if depth > DEPTH + 1 {
        return Err(Reject::new(Reason::TooDeep));
    }
    let mut separator = "";
    match reader.begin()? {
        Begun::Scalar(value) => scalar(value, to),
        Begun::Map(mut members) => {
            to.push('{');
            while let Some(key) = reader.next_key(&mut members)? {
                to.push_str(std::mem::replace(&mut separator, ","));
                text(key, to);
                to.push(':');
                value(reader, to, depth + 1)?;
            }
            to.push('}');
        }
        Begun::List(mut members) => {
            to.push('[');
            while reader.next_item(&mut members)? {
                to.push_str(std::mem::replace(&mut separator, ","));
                value(reader, to, depth + 1)?;
            }
            to.push(']');
        }
    }
    Ok(())
}

fn scalar(value: Value<'_>, to: &mut String) {
    match value {
        Value::Bool(true) => to.push_str("true"),
        Value::Bool(false) => to.push_str("false"),
        Value::Text(value) => text(value, to),
        Value::Integer(value) => to.push_str(itoa::Buffer::new().format(value)),
        Value::Unsigned(value) => to.push_str(itoa::Buffer::new().format(value)),
        Value::Float(value) => to.push_str(zmij::Buffer::new().format_finite(value)),
        Value::Number(value) => to.push_str(value),
        Value::Absent | Value::Null | Value::List(_) | Value::Map(_) => to.push_str("null"),
    }
}

/// A string in quotes. JSON's own stays as it was sent; of MessagePack's, what JSON does not
/// allow in a string is escaped.
fn text(text: RawText<'_>, to: &mut String) {
    to.push('"');
    if text.escaped {
        to.push_str(text.raw);
    } else {
        let mut rest = text.raw;
        while let Some(at) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\') {
            let (plain, odd) = rest.split_at(at);
            to.push_str(plain);
            push_escape(odd.as_bytes()[0], to);
            rest = &odd[1..];
        }
        to.push_str(rest);
    }
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
