//! Validates a whole event in one pass and records the spans of the known fields.

use super::value::{Kind, Reader, Span};
use super::walk;
use crate::event::Field;
use crate::event::reject::{Reason, Reject};

/// The spans of the known attributes and of the known fields of `data`.
pub(super) struct Fields<R> {
    spans: [Span; Field::COUNT],
    pub reader: R,
}

impl<'a, R: Reader<'a>> Fields<R> {
    #[inline]
    pub fn get(&self, field: Field) -> Span {
        self.spans[field as usize]
    }

    #[inline]
    pub fn new(reader: R) -> Self {
        Self {
            spans: [Span::ABSENT; Field::COUNT],
            reader,
        }
    }

    /// Reads a whole event.
    #[inline]
    pub fn collect(&mut self) -> Result<(), Reject> {
        let span = self.reader.begin()?;
        if span.kind() != Kind::Map {
            return Err(Reject::new(Reason::NotAnEvent));
        }
        self.members::<Envelope>(span)?;
        self.reader.end()
    }

    /// Reads the members of the envelope or of `data`. A duplicate of a known name is found by
    /// its span.
    #[inline]
    fn members<L: Level>(&mut self, map: Span) -> Result<(), Reject> {
        let mut members = map.members();
        loop {
            let key = self.reader.next_key(&mut members)?;
            if key.is_absent() {
                return Ok(());
            }
            let Some(field) = self.field::<L>(key) else {
                walk::value(&mut self.reader, L::DEPTH)?;
                continue;
            };
            if !self.get(field).is_absent() {
                return Err(Reject::of(field, Reason::DuplicateKey));
            }
            let value = if L::HOLDS_DATA && field == Field::Data {
                self.data()
            } else {
                walk::value(&mut self.reader, L::DEPTH)
            };
            match value {
                Ok(span) => self.spans[field as usize] = span,
                Err(reject) => return Err(reject.within(field)),
            }
        }
    }

    #[inline]
    fn data(&mut self) -> Result<Span, Reject> {
        let span = self.reader.begin()?;
        match span.kind() {
            Kind::Map => {
                self.members::<Data>(span)?;
                Ok(self.reader.close(span))
            }
            Kind::Null => Err(Reject::new(Reason::Missing)),
            _ => Err(Reject::new(Reason::NotAMap)),
        }
    }

    #[inline]
    fn field<L: Level>(&self, key: Span) -> Option<Field> {
        if key.kind() == Kind::Escaped {
            return L::field(self.reader.text(key).as_bytes());
        }
        L::field(&self.reader.bytes()[key.start()..key.end()])
    }
}

/// A map whose members have known names.
trait Level {
    /// The nesting depth of its values.
    const DEPTH: usize;
    const HOLDS_DATA: bool;

    fn field(name: &[u8]) -> Option<Field>;
}

struct Envelope;

impl Level for Envelope {
    const DEPTH: usize = 2;
    const HOLDS_DATA: bool = true;

    #[inline]
    fn field(name: &[u8]) -> Option<Field> {
        Field::of_envelope(name)
    }
}

struct Data;

impl Level for Data {
    const DEPTH: usize = 3;
    const HOLDS_DATA: bool = false;

    #[inline]
    fn field(name: &[u8]) -> Option<Field> {
        Field::of_data(name)
    }
}
