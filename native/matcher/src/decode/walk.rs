//! Skipping a value while every limit on it is checked.

use super::keys::Keys;
use super::value::{Kind, Reader, Spot};
use crate::event::limits::{DEPTH, MAP_KEYS};
use crate::event::reject::{Reason, Reject};

/// Checks a value and passes over it. `depth` is the depth of the value if it is a map or
/// list; the recursion is bounded by the limit on it.
#[inline]
pub(super) fn value<'a, R: Reader<'a>>(reader: &mut R, depth: usize) -> Result<Spot, Reject> {
    let spot = reader.begin()?;
    if spot.kind() >= Kind::List {
        return pass(reader, spot, depth);
    }
    Ok(spot)
}

#[inline(never)]
fn pass<'a, R: Reader<'a>>(reader: &mut R, spot: Spot, depth: usize) -> Result<Spot, Reject> {
    if depth > DEPTH {
        return Err(Reject::at(spot.start(), Reason::TooDeep));
    }
    let mut members = spot.members();
    if spot.kind() == Kind::Map {
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
    Ok(reader.passed(spot))
}
