//! Enrollments from Postgres's binary COPY format, fed in pieces.
//!
//! The stream is a header (signature, flags, an extension), a tuple a row (the number of
//! fields, then each field's length and bytes), and the trailer, a number of fields of -1.

use std::fmt;

use uuid::Uuid;

use crate::config::goal_id;
use crate::index::NewEnrollment;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
const COLUMNS: [&str; 6] = [
    "tenant_id",
    "enrollment_id",
    "contact_id",
    "workflow_id",
    "enrolled_at",
    "met_goals",
];
/// Flag bit 16, rows with oids, and the bits reserved for changes that matter.
const CRITICAL_FLAGS: u32 = 0xFFFF_0000;

/// Why a stream is not what `Loader` reads.
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
    Fresh,
    Rows,
    Ended,
}

/// Reads one stream after another. Holds at most one row that is not complete yet.
#[derive(Debug, Default)]
pub struct Loader {
    state: State,
    rest: Vec<u8>,
}

impl Loader {
    /// Whether the last stream came to its trailer.
    pub fn ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Hands each complete row of the stream to `take`; gives their number. After an error
    /// the next piece begins another stream, as does one that begins with the signature.
    pub fn feed(
        &mut self,
        piece: &[u8],
        mut take: impl FnMut(NewEnrollment<'_>),
    ) -> Result<usize, LoadError> {
        if piece.is_empty() {
            return Ok(0);
        }
        // No row holds these bytes, not even a part of one.
        if self.state == State::Ended || piece.starts_with(SIGNATURE) {
            *self = Loader::default();
        }
        let mut rest = std::mem::take(&mut self.rest);
        let read = if rest.is_empty() {
            self.read(piece, &mut take)
                .map(|(rows, used)| (rows, piece[used..].to_vec()))
        } else {
            rest.extend_from_slice(piece);
            self.read(&rest, &mut take)
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

    /// Reads what is complete: the number of rows, and of the bytes read.
    fn read(
        &mut self,
        bytes: &[u8],
        take: &mut impl FnMut(NewEnrollment<'_>),
    ) -> Result<(usize, usize), LoadError> {
        let mut cursor = Cursor { bytes, at: 0 };
        if self.state == State::Fresh {
            match header(&mut cursor)? {
                None => return Ok((0, 0)),
                Some(()) => self.state = State::Rows,
            }
        }
        let mut rows = 0;
        let mut used = cursor.at;
        let mut met = Vec::new();
        while let Some(columns) = cursor.take(2) {
            match i16::from_be_bytes([columns[0], columns[1]]) {
                -1 => {
                    if cursor.at < bytes.len() {
                        return Err(fault("there are bytes after the trailer"));
                    }
                    self.state = State::Ended;
                    return Ok((rows, cursor.at));
                }
                6 => {}
                count => return Err(fault(&format!("a row has {count} columns, not 6"))),
            }
            let Some(fields) = fields(&mut cursor)? else {
                break;
            };
            take(row(fields, &mut met)?);
            rows += 1;
            used = cursor.at;
        }
        Ok((rows, used))
    }
}

fn fault(what: &str) -> LoadError {
    LoadError(format!("not the COPY of enrollments: {what}"))
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The next bytes; `None` where they have not come yet.
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..)?.get(..count)?;
        self.at += count;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        let bytes = self.take(4)?;
        Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }
}

/// `None` where the header is not complete yet.
fn header(cursor: &mut Cursor<'_>) -> Result<Option<()>, LoadError> {
    let seen = cursor.bytes.len().min(SIGNATURE.len());
    if cursor.bytes[..seen] != SIGNATURE[..seen] {
        return Err(fault("it does not begin with the signature"));
    }
    let read = (|| {
        cursor.take(SIGNATURE.len())?;
        let flags = cursor.number()?;
        let extension = cursor.number()?;
        cursor.take(extension as usize)?;
        Some(flags)
    })();
    match read {
        Some(flags) if flags & CRITICAL_FLAGS != 0 => Err(fault("it has flags of another format")),
        Some(_) => Ok(Some(())),
        None => Ok(None),
    }
}

/// The six fields of a row; `None` where they are not complete yet.
fn fields<'a>(cursor: &mut Cursor<'a>) -> Result<Option<[&'a [u8]; 6]>, LoadError> {
    let mut fields: [&[u8]; 6] = [&[]; 6];
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
    [tenant, enrollment, contact, workflow, enrolled_at, goals]: [&'a [u8]; 6],
    met: &'a mut Vec<Uuid>,
) -> Result<NewEnrollment<'a>, LoadError> {
    let enrolled_at: [u8; 8] = enrolled_at
        .try_into()
        .map_err(|_| fault("enrolled_at is not a bigint"))?;
    met.clear();
    let goals = text(goals, "met_goals")?;
    for goal in goals.split(',').filter(|_| !goals.is_empty()) {
        let id = goal_id(goal).ok_or_else(|| fault(&format!("met_goals names no goal: {goal}")))?;
        met.push(id);
    }
    Ok(NewEnrollment {
        tenant: text(tenant, "tenant_id")?,
        contact: text(contact, "contact_id")?,
        enrollment: text(enrollment, "enrollment_id")?,
        workflow: text(workflow, "workflow_id")?,
        enrolled_at: i64::from_be_bytes(enrolled_at),
        met,
    })
}

fn text<'a>(bytes: &'a [u8], name: &str) -> Result<&'a str, LoadError> {
    std::str::from_utf8(bytes).map_err(|_| fault(&format!("{name} is not UTF-8")))
}
