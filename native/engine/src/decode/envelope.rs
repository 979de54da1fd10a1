//! The one pass over an event: everything is checked, and what has a known name is kept.

use super::field::Field;
use super::keys::Keys;
use super::value::{Begun, Members, RawText, Reader, Value};
use crate::limits::MAP_KEYS;
use crate::reject::{Reason, Reject};

/// The values of the known attributes and of the known fields of `data`, by [`Field`].
pub(super) struct Fields<'a> {
    values: [Value<'a>; Field::COUNT],
    /// The bytes of the `data` map.
    pub data: &'a [u8],
}

impl<'a> Fields<'a> {
    #[inline]
    pub fn get(&self, field: Field) -> Value<'a> {
        self.values[field as usize]
    }

    /// Reads a whole event.
    pub fn collect<R: Reader<'a>>(mut reader: R) -> Result<Self, Reject> {
        let mut fields = Self {
            values: [Value::Absent; Field::COUNT],
            data: &[],
        };
        let Begun::Map(members) = reader.begin()? else {
            return Err(Reject::new(Reason::NotAnEvent));
        };
        fields.members(&mut reader, members, Field::of_envelope, 2)?;
        reader.end()?;
        Ok(fields)
    }

    /// Reads the members of the envelope or of `data`, whose values lie at `depth`. A known
    /// name has its own place and needs no comparison with others to be found twice.
    #[inline]
    fn members<R: Reader<'a>>(
        &mut self,
        reader: &mut R,
        mut members: Members,
        known: fn(&[u8]) -> Option<Field>,
        depth: usize,
    ) -> Result<(), Reject> {
        let mut others = Keys::new();
        let mut count = 0;
        while let Some(key) = reader.next_key(&mut members)? {
            count += 1;
            if count > MAP_KEYS {
                return Err(Reject::at(reader.place(), Reason::TooManyKeys));
            }
            let Some(field) = field_of(key, known) else {
                others
                    .add(key)
                    .map_err(|reason| Reject::at(reader.place(), reason))?;
                reader.value(depth)?;
                continue;
            };
            if !matches!(self.get(field), Value::Absent) {
                return Err(Reject::of(field, Reason::DuplicateKey));
            }
            let value = match field {
                Field::Data => self.data(reader)?,
                _ => reader.value(depth).map_err(|reject| reject.within(field))?,
            };
            self.values[field as usize] = value;
        }
        others
            .check()
            .map_err(|reason| Reject::at(reader.place(), reason))
    }

    fn data<R: Reader<'a>>(&mut self, reader: &mut R) -> Result<Value<'a>, Reject> {
        let place = reader.place();
        match reader
            .begin()
            .map_err(|reject| reject.within(Field::Data))?
        {
            Begun::Map(members) => {
                self.members(reader, members, Field::of_data, 3)
                    .map_err(|reject| reject.within(Field::Data))?;
                self.data = reader.since(place);
                Ok(Value::Map(self.data))
            }
            Begun::Scalar(Value::Null) => Err(Reject::of(Field::Data, Reason::Missing)),
            _ => Err(Reject::of(Field::Data, Reason::NotAMap)),
        }
    }
}

#[inline]
fn field_of(key: RawText<'_>, known: fn(&[u8]) -> Option<Field>) -> Option<Field> {
    if key.escaped {
        return known(key.text().as_bytes());
    }
    known(key.raw.as_bytes())
}
