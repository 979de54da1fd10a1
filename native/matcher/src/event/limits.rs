//! The limits of D9, in one place.

/// Bytes of an event.
pub const EVENT_BYTES: usize = 64 * 1024;
/// Maps and lists within one another; the envelope itself is the first.
pub const DEPTH: usize = 32;
/// Keys of one map.
pub const MAP_KEYS: usize = 64;
/// Bytes of a string or key in UTF-8, without escapes; and of a number's text.
pub const STRING_BYTES: usize = 1024;
/// Characters of an id that the platform owns, and of `traceparent`.
pub const ID_CHARS: usize = 128;
/// Magnitude of the exponent of a JSON number.
pub const EXPONENT: u32 = 400;
/// Significant digits of an amount.
pub const AMOUNT_DIGITS: u32 = 18;
/// How far an event's time may lie ahead of the clock, in microseconds.
pub const AHEAD_US: i64 = 24 * 3600 * 1_000_000;
