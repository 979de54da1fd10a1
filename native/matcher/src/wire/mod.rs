//! The encodings of an event: cursors over their bytes, and fast scanning of text.

mod encoding;
pub(crate) mod json;
mod json_string;
pub(crate) mod msgpack;
mod scan;

pub(crate) use encoding::Encoding;
pub(crate) use json_string::{check_escaped, unescape, unescape_lossy};
pub(crate) use scan::{is_printable_ascii, plain_text, string_stop};
