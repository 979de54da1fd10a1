//! Skips values. Values that goald does not read may be anything that is well-formed (E14).

use super::value::{Kind, Reader, Span};
use crate::event::limits::DEPTH;
use crate::event::reject::{Reason, Reject};

/// The nesting depth of a value in an item of a list in `data`.
pub(super) const ITEM_VALUE_DEPTH: usize = 5;

/// Moves past a value. `depth` is the nesting depth of the value if it is a map or list. The limit
/// on the depth bounds the recursion.
#[inline]
pub(super) fn value<'a, R: Reader<'a>>(reader: &mut R, depth: usize) -> Result<Span, Reject> {
    let span = reader.begin()?;
    if span.kind() >= Kind::List {
        return container(reader, span, depth);
    }
    Ok(span)
}

#[inline(never)]
fn container<'a, R: Reader<'a>>(reader: &mut R, span: Span, depth: usize) -> Result<Span, Reject> {
    if depth > DEPTH {
        return Err(Reject::at(span.start(), Reason::TooDeep));
    }
    let mut members = span.members();
    if span.kind() == Kind::Map {
        while !reader.next_key(&mut members)?.is_absent() {
            value(reader, depth + 1)?;
        }
    } else {
        while reader.next_item(&mut members)? {
            value(reader, depth + 1)?;
        }
    }
    Ok(reader.close(span))
}
