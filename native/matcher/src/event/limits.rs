//! The limits on events (D9).

/// The maximum size of an event, in bytes.
pub const EVENT_BYTES: usize = 64 * 1024;
/// Nesting depth of maps and lists; the envelope is level 1.
pub const DEPTH: usize = 32;
/// Keys in a map.
pub const MAP_KEYS: usize = 64;
/// Bytes of a string or key in UTF-8 without escapes, and of the text of a number.
pub const STRING_BYTES: usize = 1024;
/// Characters of an id that the platform owns, and of `traceparent`.
pub const ID_CHARS: usize = 128;
/// Absolute value of the exponent of a JSON number.
pub const EXPONENT: u32 = 400;
/// Significant digits of an amount.
pub const AMOUNT_DIGITS: u32 = 18;
/// The greatest count, such as of cancelled actions: more than any workflow has, so that a wrong
/// count does not dominate the statistics.
pub const COUNT: i32 = 1_000_000;
/// How far in the future an event's time may be, in microseconds.
pub const AHEAD_US: i64 = 24 * 3600 * 1_000_000;
