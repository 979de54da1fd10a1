//! Reads the members of a map of an event by name, for the rare events of which more is read than
//! the fields of `Field`.

use super::value::{Kind, Number, Reader, Span};
use super::walk;
use super::{json, msgpack};
use crate::event::reject::Reject;
use crate::event::{RawData, Text};
use crate::wire::Encoding;

/// The nesting depth of a value in the envelope.
const DEPTH: usize = 2;

#[derive(Debug, Clone, PartialEq)]
enum Member<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    Text(Text<'a>),
    /// The names of its members.
    Map(Vec<Text<'a>>),
    Other,
}

/// The members of a map.
#[derive(Debug, Default)]
pub struct Members<'a>(Vec<(Text<'a>, Member<'a>)>);

impl<'a> Members<'a> {
    /// The members of an event's `data`. Empty if it is not valid.
    pub fn of(data: RawData<'a>) -> Members<'a> {
        let members = match data {
            RawData::MessagePack(bytes) => msgpack::Reader::new(bytes).and_then(read),
            RawData::Json(bytes) => json::Reader::new(bytes).and_then(read),
        };
        members.unwrap_or_default()
    }

    /// The attributes of a whole event.
    pub fn of_event(bytes: &'a [u8]) -> Members<'a> {
        match Encoding::of(bytes) {
            Ok(Encoding::MessagePack) => Members::of(RawData::MessagePack(bytes)),
            Ok(Encoding::Json) => Members::of(RawData::Json(bytes)),
            Err(_) => Members::default(),
        }
    }

    /// The first member with this name.
    fn get(&self, name: &str) -> Option<&Member<'a>> {
        let found = self.0.iter().find(|(of, _)| *of == *name);
        found.map(|(_, member)| member)
    }

    /// Whether a member has such a name.
    pub fn any(&self, mut has_name: impl FnMut(&str) -> bool) -> bool {
        self.0.iter().any(|(name, _)| has_name(name))
    }

    /// Whether there is such a member, also if it is null.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Member::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Member::Integer(value) => Some(*value),
            _ => None,
        }
    }

    pub fn bool(&self, name: &str) -> Option<bool> {
        match self.get(name)? {
            Member::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The names of the members of a map.
    pub fn names_of(&self, name: &str) -> &[Text<'a>] {
        match self.get(name) {
            Some(Member::Map(names)) => names,
            _ => &[],
        }
    }
}

fn read<'a, R: Reader<'a>>(mut reader: R) -> Result<Members<'a>, Reject> {
    let mut members = reader.begin()?.members();
    let mut found = Vec::new();
    loop {
        let key = reader.next_key(&mut members)?;
        if key.is_absent() {
            return Ok(Members(found));
        }
        let value = walk::value(&mut reader, DEPTH)?;
        found.push((reader.text(key), member(&reader, value)?));
    }
}

fn member<'a, R: Reader<'a>>(reader: &R, span: Span) -> Result<Member<'a>, Reject> {
    Ok(match span.kind() {
        Kind::Null => Member::Null,
        Kind::True => Member::Bool(true),
        Kind::False => Member::Bool(false),
        Kind::Text | Kind::Escaped => Member::Text(reader.lossy_text(span)),
        Kind::Number => integer(reader.number(span)).map_or(Member::Other, Member::Integer),
        Kind::Map => Member::Map(names(R::new(&reader.bytes()[span.start()..span.end()])?)?),
        _ => Member::Other,
    })
}

fn names<'a, R: Reader<'a>>(mut reader: R) -> Result<Vec<Text<'a>>, Reject> {
    let mut members = reader.begin()?.members();
    let mut names = Vec::new();
    loop {
        let key = reader.next_key(&mut members)?;
        if key.is_absent() {
            return Ok(names);
        }
        walk::value(&mut reader, DEPTH)?;
        names.push(reader.text(key));
    }
}

fn integer(number: Number<'_>) -> Option<i64> {
    match number {
        Number::Integer(value) => Some(value),
        Number::Unsigned(value) => value.try_into().ok(),
        Number::Text(text) => text.parse().ok(),
        Number::Float(_) => None,
    }
}
