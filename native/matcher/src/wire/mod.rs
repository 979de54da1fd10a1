//! The bytes of an event: its two encodings, and how their text is scanned.

mod encoding;
mod json_text;
mod scan;

pub(crate) use encoding::Encoding;
pub(crate) use json_text::{check_escaped, unescape};
pub(crate) use scan::{is_printable_ascii, plain_text, string_stop};
