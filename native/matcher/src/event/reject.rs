//! Why an event is rejected (D4), in terms that its producer understands.

use std::fmt;

use super::field::Field;

/// Why an event is rejected. Eight bytes, created without allocation. `Display` builds the
/// message, such as `data.amount: not a decimal number of at most 18 digits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reject {
    reason: Reason,
    field: Option<Field>,
    /// A position in the bytes, or `NOWHERE`.
    byte: u32,
}

const NOWHERE: u32 = u32::MAX;

/// The kind of error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    TooLarge,
    NotAnEvent,
    EndsEarly,
    TrailingBytes,
    TooDeep,
    LongString,
    DuplicateKey,
    KeyNotText,
    UnknownMarker,
    Nul,
    LoneSurrogate,
    NotUtf8,
    NotJson,
    RawControl,
    BadEscape,
    Missing,
    NotText,
    NotAnIdType,
    Empty,
    NotAnId,
    ReservedId,
    NotAMap,
    NotAList,
    ItemNotAMap,
    ItemNotATag,
    ManyTags,
    NotATime,
    FarAhead,
    OtherVersion,
    LongTrace,
    NotAnAmount,
    NotACount,
    NotAnEventReference,
    NotMatchValues,
    NotAnEndReason,
    BadEntryId,
    NoEventField,
    OtherTenant,
    ReservedAttribute,
}

impl Reason {
    fn text(self) -> &'static str {
        match self {
            Self::TooLarge => "the event is larger than 256 KiB",
            Self::NotAnEvent => "neither a MessagePack map nor a JSON object",
            Self::EndsEarly => "unexpected end of the event",
            Self::TrailingBytes => "trailing bytes after the event",
            Self::TooDeep => "nested deeper than 32 levels",
            Self::LongString => "longer than 1024 bytes",
            Self::DuplicateKey => "duplicate key",
            Self::KeyNotText => "a key is not a string",
            Self::UnknownMarker => "invalid MessagePack type byte",
            Self::Nul => "contains a NUL character",
            Self::LoneSurrogate => "contains a lone surrogate",
            Self::NotUtf8 => "text is not valid UTF-8",
            Self::NotJson => "not valid JSON",
            Self::RawControl => "a string contains an unescaped control character",
            Self::BadEscape => "a string contains an invalid escape sequence",
            Self::Missing => "required but missing",
            Self::NotText => "not a string",
            Self::NotAnIdType => "neither a string nor an integer",
            Self::Empty => "must not be empty",
            Self::NotAnId => {
                "must have 1 to 256 characters, at most 768 bytes, without control or invisible characters"
            }
            Self::ReservedId => {
                "must not start with erased:, which is reserved for deleted contacts"
            }
            Self::NotAMap => "not a map",
            Self::NotAList => "not a list",
            Self::ItemNotAMap => "an item is not a map",
            Self::ItemNotATag => "an item is neither a string nor a map",
            Self::ManyTags => "more than 500 items",
            Self::NotATime => "not an RFC 3339 time with an offset",
            Self::FarAhead => "more than 24 h in the future",
            Self::OtherVersion => "unsupported version, must be 1.0",
            Self::LongTrace => "longer than 128 characters",
            Self::NotAnAmount => "not a decimal number of at most 18 digits",
            Self::NotACount => "not an integer from 0 to 1000000",
            Self::NotAnEventReference => "not the source and id of an event, two non-empty strings",
            Self::NotMatchValues => {
                "not a map of at most 4 names, of 1 to 64 letters, digits, _ and -, to ids"
            }
            Self::NotAnEndReason => "not one of completed, exited, cancelled",
            Self::BadEntryId => "the stream entry id does not have the form ms-seq",
            Self::NoEventField => "the stream entry has no field named event",
            Self::OtherTenant => "not the caller's tenant",
            Self::ReservedAttribute => {
                "the attribute hops, and attributes that start with goald, are reserved for goald"
            }
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

    /// An error at a position in the bytes, counted from 0.
    #[cold]
    pub(crate) fn at(byte: usize, reason: Reason) -> Self {
        Self {
            reason,
            field: None,
            byte: u32::try_from(byte).unwrap_or(NOWHERE),
        }
    }

    /// An error in an attribute, or in a field of `data`.
    #[cold]
    pub(crate) fn of(field: Field, reason: Reason) -> Self {
        Self {
            reason,
            field: Some(field),
            byte: NOWHERE,
        }
    }

    /// The same error, found while `field` was read.
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

    /// The attribute or field with the error, if it is known.
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
