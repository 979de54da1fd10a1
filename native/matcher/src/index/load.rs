//! Reads enrollments in Postgres's binary COPY format, in chunks.
//!
//! The stream is a header (signature, flags, an extension), a tuple per row (the number of
//! fields, then the length and bytes of each), and a trailer (a number of fields of -1).

use std::fmt;

use uuid::Uuid;

use super::records::NewEnrollment;
use crate::config::goal_id;
use crate::event::MatchValues;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
const COLUMNS: [&str; 8] = [
    "tenant_id",
    "enrollment_id",
    "contact_id",
    "workflow_id",
    "enrolled_at",
    "met_goals",
    "excludes",
    "match_values",
];
/// Flag bit 16 (rows with oids) and the bits reserved for incompatible changes.
const CRITICAL_FLAGS: u32 = 0xFFFF_0000;

/// Why a stream cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError(pub String);

impl fmt::Display for LoadError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

impl std::error::Error for LoadError {}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Header,
    Rows,
    Ended,
}

/// Reads one stream after another. Buffers at most one incomplete row.
#[derive(Debug, Default)]
pub struct Loader {
    state: State,
    rest: Vec<u8>,
}

impl Loader {
    /// Whether the last stream was complete, that is, ended with its trailer.
    pub fn ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Passes each complete row of the stream to `insert` and returns their number. A new
    /// stream begins after the trailer, after an error, and with a chunk that starts with the
    /// signature.
    pub fn feed(
        &mut self,
        chunk: &[u8],
        mut insert: impl FnMut(NewEnrollment<'_>),
    ) -> Result<usize, LoadError> {
        if chunk.is_empty() {
            return Ok(0);
        }
        // No row contains these bytes, not even in part.
        if self.state == State::Ended || chunk.starts_with(SIGNATURE) {
            *self = Loader::default();
        }
        let mut rest = std::mem::take(&mut self.rest);
        let read = if rest.is_empty() {
            self.read(chunk, &mut insert)
                .map(|(rows, used)| (rows, chunk[used..].to_vec()))
        } else {
            rest.extend_from_slice(chunk);
            self.read(&rest, &mut insert)
                .map(|(rows, used)| (rows, rest.split_off(used)))
        };
        match read {
            Ok((rows, rest)) => {
                self.rest = rest;
                Ok(rows)
            }
            Err(error) => {
                *self = Loader::default();
                Err(error)
            }
        }
    }

    /// Reads the complete rows. Returns the number of rows and of bytes read.
    fn read(
        &mut self,
        bytes: &[u8],
        insert: &mut impl FnMut(NewEnrollment<'_>),
    ) -> Result<(usize, usize), LoadError> {
        let mut cursor = Cursor { bytes, at: 0 };
        if self.state == State::Header {
            match header(&mut cursor)? {
                None => return Ok((0, 0)),
                Some(()) => self.state = State::Rows,
            }
        }
        let mut rows = 0;
        let mut used = cursor.at;
        let (mut met, mut match_values) = (Vec::new(), None);
        while let Some(columns) = cursor.take(2) {
            match i16::from_be_bytes([columns[0], columns[1]]) {
                -1 => {
                    if cursor.at < bytes.len() {
                        return Err(fault("trailing bytes after the trailer"));
                    }
                    self.state = State::Ended;
                    return Ok((rows, cursor.at));
                }
                8 => {}
                count => return Err(fault(&format!("a row has {count} columns instead of 8"))),
            }
            let Some(fields) = fields(&mut cursor)? else {
                break;
            };
            insert(row(fields, &mut met, &mut match_values)?);
            rows += 1;
            used = cursor.at;
        }
        Ok((rows, used))
    }
}

fn fault(what: &str) -> LoadError {
    LoadError(format!("invalid COPY stream of enrollments: {what}"))
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The next bytes; `None` if they have not arrived.
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let bytes = self.bytes.get(self.at..)?.get(..count)?;
        self.at += count;
        Some(bytes)
    }

    fn number(&mut self) -> Option<u32> {
        let bytes = self.take(4)?;
        Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }
}

/// `None` if the header is incomplete.
fn header(cursor: &mut Cursor<'_>) -> Result<Option<()>, LoadError> {
    let seen = cursor.bytes.len().min(SIGNATURE.len());
    if cursor.bytes[..seen] != SIGNATURE[..seen] {
        return Err(fault("the signature is missing"));
    }
    let read = (|| {
        cursor.take(SIGNATURE.len())?;
        let flags = cursor.number()?;
        let extension = cursor.number()?;
        cursor.take(extension as usize)?;
        Some(flags)
    })();
    match read {
        Some(flags) if flags & CRITICAL_FLAGS != 0 => Err(fault("unsupported flags")),
        Some(_) => Ok(Some(())),
        None => Ok(None),
    }
}

/// The eight fields of a row; `None` if they are incomplete.
fn fields<'a>(cursor: &mut Cursor<'a>) -> Result<Option<[&'a [u8]; 8]>, LoadError> {
    let mut fields: [&[u8]; 8] = [&[]; 8];
    for (field, name) in fields.iter_mut().zip(COLUMNS) {
        let Some(length) = cursor.number() else {
            return Ok(None);
        };
        if length > i32::MAX as u32 {
            return Err(fault(&format!("{name} is null")));
        }
        let Some(bytes) = cursor.take(length as usize) else {
            return Ok(None);
        };
        *field = bytes;
    }
    Ok(Some(fields))
}

fn row<'a>(
    [
        tenant,
        enrollment,
        contact,
        workflow,
        enrolled_at,
        goals,
        excludes,
        values,
    ]: [&'a [u8]; 8],
    met: &'a mut Vec<Uuid>,
    match_values: &'a mut Option<MatchValues>,
) -> Result<NewEnrollment<'a>, LoadError> {
    let enrolled_at: [u8; 8] = enrolled_at
        .try_into()
        .map_err(|_| fault("enrolled_at is not a bigint"))?;
    met.clear();
    let goals = text(goals, "met_goals")?;
    for goal in goals.split(',').filter(|_| !goals.is_empty()) {
        let id = goal_id(goal)
            .ok_or_else(|| fault(&format!("met_goals has an invalid goal id: {goal}")))?;
        met.push(id);
    }
    *match_values = match text(values, "match_values")? {
        "" => None,
        json => {
            Some(MatchValues::from_json(json).ok_or_else(|| fault("match_values are not valid"))?)
        }
    };
    Ok(NewEnrollment {
        tenant: text(tenant, "tenant_id")?,
        contact: text(contact, "contact_id")?,
        enrollment: text(enrollment, "enrollment_id")?,
        workflow: text(workflow, "workflow_id")?,
        enrolled_at: i64::from_be_bytes(enrolled_at),
        met,
        excludes: match excludes {
            [0] => false,
            [1] => true,
            _ => return Err(fault("excludes is not a boolean")),
        },
        match_values: match_values.as_ref(),
    })
}

fn text<'a>(bytes: &'a [u8], name: &str) -> Result<&'a str, LoadError> {
    std::str::from_utf8(bytes).map_err(|_| fault(&format!("{name} is not UTF-8")))
}
