//! Why an event is refused (D4): in words that its producer understands.

use std::fmt;

use super::field::Field;

/// Why an event is refused. Eight bytes, made without allocation; the words are put together
/// by `Display`, as in `data.amount: not a decimal number of at most 18 digits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reject {
    reason: Reason,
    field: Option<Field>,
    /// A place in the bytes, or `NOWHERE`.
    byte: u32,
}

const NOWHERE: u32 = u32::MAX;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    TooLarge,
    NotAnEvent,
    EndsEarly,
    TrailingBytes,
    TooDeep,
    TooManyKeys,
    LongString,
    LongNumber,
    DuplicateKey,
    KeyNotText,
    BinaryValue,
    UnknownMarker,
    NotFinite,
    LargeExponent,
    Nul,
    LoneSurrogate,
    NotUtf8,
    NotJson,
    RawControl,
    BadEscape,
    Missing,
    NotText,
    Empty,
    NotAnId,
    NotAMap,
    NotAList,
    ItemNotAMap,
    NotATime,
    FarAhead,
    OtherVersion,
    LongTrace,
    NotAnAmount,
    NotACount,
    NotAnEndReason,
    BadEntryId,
    NoEventField,
    OtherTenant,
}

impl Reason {
    fn text(self) -> &'static str {
        match self {
            Self::TooLarge => "the event is larger than 64 KiB",
            Self::NotAnEvent => "neither a MessagePack map nor a JSON object",
            Self::EndsEarly => "the event ends too early",
            Self::TrailingBytes => "there are bytes after the end of the event",
            Self::TooDeep => "maps and lists are nested deeper than 32",
            Self::TooManyKeys => "a map has more than 64 keys",
            Self::LongString => "a string is longer than 1024 bytes",
            Self::LongNumber => "a number is longer than 1024 bytes",
            Self::DuplicateKey => "a key is there twice",
            Self::KeyNotText => "a key is not a string",
            Self::BinaryValue => "binary and extension values are not taken",
            Self::UnknownMarker => "a byte begins no MessagePack value",
            Self::NotFinite => "a number is not finite",
            Self::LargeExponent => "a number's exponent is beyond 400",
            Self::Nul => "a string holds a NUL character",
            Self::LoneSurrogate => "a string holds a lone surrogate",
            Self::NotUtf8 => "text is not valid UTF-8",
            Self::NotJson => "not valid JSON",
            Self::RawControl => "a string holds a control character that is not escaped",
            Self::BadEscape => "a string holds an escape that JSON does not know",
            Self::Missing => "required, but absent",
            Self::NotText => "not a string",
            Self::Empty => "empty",
            Self::NotAnId => "not an id of 1 to 128 characters without control characters",
            Self::NotAMap => "not a map",
            Self::NotAList => "not a list",
            Self::ItemNotAMap => "an item is not a map",
            Self::NotATime => "not an RFC 3339 time with an offset",
            Self::FarAhead => "more than 24 h ahead",
            Self::OtherVersion => "not 1.0",
            Self::LongTrace => "longer than 128 characters",
            Self::NotAnAmount => "not a decimal number of at most 18 digits",
            Self::NotACount => "not a whole number from 0 to 2147483647",
            Self::NotAnEndReason => "not one of completed, exited and cancelled",
            Self::BadEntryId => "the stream entry's id is not of the form ms-seq",
            Self::NoEventField => "the stream entry has no field named event",
            Self::OtherTenant => "another tenant than the caller's",
        }
    }
}

impl Reject {
    pub(crate) fn new(reason: Reason) -> Self {
        Self {
            reason,
            field: None,
            byte: NOWHERE,
        }
    }

    /// A fault at a place in the bytes, counted from 0.
    #[cold]
    pub(crate) fn at(byte: usize, reason: Reason) -> Self {
        Self {
            reason,
            field: None,
            byte: u32::try_from(byte).unwrap_or(NOWHERE),
        }
    }

    /// A fault of an attribute, or of a field of `data`.
    #[cold]
    pub(crate) fn of(field: Field, reason: Reason) -> Self {
        Self {
            reason,
            field: Some(field),
            byte: NOWHERE,
        }
    }

    /// The same fault, found while `field` was read.
    #[cold]
    pub(crate) fn within(self, field: Field) -> Self {
        Self {
            field: self.field.or(Some(field)),
            ..self
        }
    }

    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// Where: the attribute, as `tenantid` or `data.amount`.
    #[must_use]
    pub fn field(&self) -> Option<Field> {
        self.field
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = self.field {
            write!(to, "{}: ", field.path())?;
        }
        to.write_str(self.reason.text())?;
        match self.byte {
            NOWHERE => Ok(()),
            byte => write!(to, " (byte {byte})"),
        }
    }
}

impl std::error::Error for Reject {}
