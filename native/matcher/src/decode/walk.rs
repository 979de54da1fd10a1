//! Skips values and checks every limit on them.

use super::keys::Keys;
use super::value::{Kind, Reader, Span};
use crate::event::limits::{DEPTH, MAP_KEYS};
use crate::event::reject::{Reason, Reject};

/// Checks a value and moves past it. `depth` is the nesting depth of the value if it is a map or
/// list. The limit on the depth bounds the recursion.
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
        let mut keys = Keys::new();
        loop {
            let key = reader.next_key(&mut members)?;
            if key.is_absent() {
                break;
            }
            if keys.len() == MAP_KEYS {
                return Err(Reject::at(key.start(), Reason::TooManyKeys));
            }
            keys.add(reader, key)?;
            value(reader, depth + 1)?;
        }
        keys.check()?;
    } else {
        while reader.next_item(&mut members)? {
            value(reader, depth + 1)?;
        }
    }
    Ok(reader.close(span))
}
