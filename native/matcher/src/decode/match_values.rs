//! Reads the values that an enrollment carries, and the fields of events that goals compare with
//! them (E17).

use ahash::RandomState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::envelope::Fields;
use super::scalars::id_at;
use super::value::{Kind, Reader};
use super::walk::{self, ITEM_VALUE_DEPTH};
use super::{json, msgpack};
use crate::event::reject::{Reason, Reject};
use crate::event::{Field, MatchValues, RawData, Text, is_match_name};

/// The `match` of a start: a map of names to ids. `None` if it is absent, null or empty; a null
/// value is absent. Reads the map a second time.
#[inline]
pub(super) fn read<'a, R: Reader<'a>>(fields: &Fields<R>) -> Result<Option<MatchValues>, Reject> {
    match fields.get(Field::Match).kind() {
        Kind::Absent | Kind::Null => Ok(None),
        Kind::Map => read_map(fields),
        _ => Err(Reject::of(Field::Match, Reason::NotAMap)),
    }
}

#[inline(never)]
fn read_map<'a, R: Reader<'a>>(fields: &Fields<R>) -> Result<Option<MatchValues>, Reject> {
    let field = Field::Match;
    let span = fields.get(field);
    let mut reader = R::new(&fields.reader.bytes()[span.start()..span.end()])?;
    let mut members = reader.begin()?.members();
    let mut pairs: Vec<(Box<str>, Box<str>)> = Vec::new();
    loop {
        let key = reader.next_key(&mut members)?;
        if key.is_absent() {
            break;
        }
        let value = walk::value(&mut reader, ITEM_VALUE_DEPTH)?;
        let name = reader.text(key);
        if !is_match_name(&name) {
            return Err(Reject::of(field, Reason::NotMatchValues));
        }
        let Some(value) = id_at(&reader, value, field)? else {
            continue;
        };
        if pairs.iter().any(|(of, _)| **of == *name) {
            return Err(Reject::of(field, Reason::DuplicateKey));
        }
        pairs.push((name.into(), value.into()));
    }
    if pairs.is_empty() {
        return Ok(None);
    }
    let values = MatchValues::new(pairs);
    let values = values.ok_or_else(|| Reject::of(field, Reason::NotMatchValues))?;
    Ok(Some(values))
}

/// The fields of an event's `data` that are ids, by name.
#[derive(Debug, Default)]
pub struct EventValues<'a>(HashMap<Text<'a>, Option<Text<'a>>, RandomState>);

impl<'a> EventValues<'a> {
    /// Reads the whole map once. A field that is no id, or that occurs twice, has no value: other
    /// programs could read another value than goald.
    pub fn of(data: RawData<'a>) -> EventValues<'a> {
        let values = match data {
            RawData::MessagePack(bytes) => msgpack::Reader::new(bytes).and_then(values_of),
            RawData::Json(bytes) => json::Reader::new(bytes).and_then(values_of),
        };
        EventValues(values.unwrap_or_default())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_deref()
    }
}

/// The nesting depth of a value in `data`.
const VALUE_DEPTH: usize = 3;

type Values<'a> = HashMap<Text<'a>, Option<Text<'a>>, RandomState>;

fn values_of<'a, R: Reader<'a>>(mut reader: R) -> Result<Values<'a>, Reject> {
    let mut values = Values::default();
    let mut members = reader.begin()?.members();
    loop {
        let key = reader.next_key(&mut members)?;
        if key.is_absent() {
            return Ok(values);
        }
        let value = walk::value(&mut reader, VALUE_DEPTH)?;
        let name = reader.text(key);
        if !is_match_name(&name) {
            continue;
        }
        let id = id_at(&reader, value, Field::Match).unwrap_or(None);
        match values.entry(name) {
            Entry::Occupied(mut twice) => {
                twice.insert(None);
            }
            Entry::Vacant(once) => {
                once.insert(id);
            }
        }
    }
}
