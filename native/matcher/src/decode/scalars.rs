//! Reads texts, ids and amounts at a span.

use super::id::{integer_text, is_id};
use super::value::{Kind, Number, Reader, Span};
use crate::event::amount::Amount;
use crate::event::limits::STRING_BYTES;
use crate::event::reject::{Reason, Reject};
use crate::event::{Field, Text};

/// The content of a string, if it is valid and not too long.
#[inline]
pub(super) fn valid_text<'a, R: Reader<'a>>(
    reader: &R,
    span: Span,
    field: Field,
) -> Result<Text<'a>, Reject> {
    match reader.checked_text(span) {
        Ok(text) if text.len() <= STRING_BYTES => Ok(text),
        Ok(_) => Err(Reject::of(field, Reason::LongString)),
        Err(reason) => Err(Reject::of(field, reason)),
    }
}

/// A string, or the decimal text of an integer; `None` if it is absent or null.
#[inline]
pub(super) fn text_or_integer<'a, R: Reader<'a>>(
    reader: &R,
    span: Span,
    field: Field,
) -> Result<Option<Text<'a>>, Reject> {
    match span.kind() {
        Kind::Text | Kind::Escaped => valid_text(reader, span, field).map(Some),
        Kind::Absent | Kind::Null => Ok(None),
        Kind::Number => integer_text(reader.number(span))
            .map(Some)
            .ok_or_else(|| Reject::of(field, Reason::NotAnIdType)),
        _ => Err(Reject::of(field, Reason::NotAnIdType)),
    }
}

#[inline]
pub(super) fn id_at<'a, R: Reader<'a>>(
    reader: &R,
    span: Span,
    field: Field,
) -> Result<Option<Text<'a>>, Reject> {
    match text_or_integer(reader, span, field)? {
        Some(text) if !is_id(&text) => Err(Reject::of(field, Reason::NotAnId)),
        other => Ok(other),
    }
}

/// The value of an amount of money; `None` if it is absent or null.
#[inline]
pub(super) fn amount<'a, R: Reader<'a>>(
    reader: &R,
    span: Span,
    field: Field,
) -> Result<Option<Amount>, Reject> {
    let amount = match span.kind() {
        Kind::Absent | Kind::Null => return Ok(None),
        Kind::Text | Kind::Escaped => Amount::parse(&reader.text(span)),
        Kind::Number => match reader.number(span) {
            Number::Text(text) => Amount::from_json(text),
            Number::Float(value) => Amount::from_f64(value),
            Number::Integer(value) => Amount::from_i64(value),
            Number::Unsigned(value) => Amount::from_u64(value),
        },
        _ => None,
    };
    amount
        .map(Some)
        .ok_or_else(|| Reject::of(field, Reason::NotAnAmount))
}
