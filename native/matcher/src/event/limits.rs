//! The limits on events (D9, E14).

/// The maximum size of an event, in bytes.
pub const EVENT_BYTES: usize = 256 * 1024;
/// The maximum size of an event that is passed on under the longest id of a contact (E21). An
/// escaped character of an id has two bytes, and its other characters have up to three.
pub const FORWARDED_BYTES: usize = EVENT_BYTES + ID_BYTES + 2;
/// Nesting depth of maps and lists; the envelope is level 1.
pub const DEPTH: usize = 32;
/// Bytes in UTF-8, without escapes, of a text that goald reads.
pub const STRING_BYTES: usize = 1024;
/// Characters of an id that the platform owns.
pub const ID_CHARS: usize = 256;
/// Bytes of such an id in UTF-8: three of them fit in an entry of a Postgres index.
pub const ID_BYTES: usize = 768;
/// Characters of `traceparent`.
pub const TRACE_CHARS: usize = 128;
/// Values that an enrollment carries for its goals (E17).
pub const MATCH_PAIRS: usize = 4;
/// Bytes of the name of such a value.
pub const MATCH_NAME_BYTES: usize = 64;
/// Bytes of JSON that are stored of an event's `data`.
pub const STORED_BYTES: usize = 4096;
/// Significant digits of an amount.
pub const AMOUNT_DIGITS: u32 = 18;
/// The greatest count, such as of cancelled actions: more than any workflow has, so that a wrong
/// count does not dominate the statistics.
pub const COUNT: i32 = 1_000_000;
/// How far in the future an event's time may be, in microseconds.
pub const AHEAD_US: i64 = 24 * 3600 * 1_000_000;
/// Items of a list of tags: a contact has at most this many.
pub const LISTED_TAGS: usize = 500;
