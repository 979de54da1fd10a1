//! Reads rows in Postgres's binary COPY format, in chunks.
//!
//! The stream is a header (signature, flags, an extension), a tuple per row (the number of
//! fields, then the length and bytes of each), and a trailer (a number of fields of -1).

use std::fmt;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
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
#[derive(Debug)]
pub struct CopyReader<const N: usize> {
    columns: [&'static str; N],
    /// The rows of the streams, in messages.
    rows: &'static str,
    state: State,
    rest: Vec<u8>,
}

impl<const N: usize> CopyReader<N> {
    pub fn new(rows: &'static str, columns: [&'static str; N]) -> CopyReader<N> {
        CopyReader {
            columns,
            rows,
            state: State::Header,
            rest: Vec::new(),
        }
    }

    fn restart(&mut self) {
        self.state = State::Header;
        self.rest = Vec::new();
    }

    fn fault(&self, what: &str) -> LoadError {
        LoadError(format!("invalid COPY stream of {}: {what}", self.rows))
    }

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
        mut insert: impl FnMut([&[u8]; N]) -> Result<(), String>,
    ) -> Result<usize, LoadError> {
        if chunk.is_empty() {
            return Ok(0);
        }
        // No row contains these bytes, not even in part.
        if self.state == State::Ended || chunk.starts_with(SIGNATURE) {
            self.restart();
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
                self.restart();
                Err(error)
            }
        }
    }

    /// Reads the complete rows. Returns the number of rows and of bytes read.
    fn read(
        &mut self,
        bytes: &[u8],
        insert: &mut impl FnMut([&[u8]; N]) -> Result<(), String>,
    ) -> Result<(usize, usize), LoadError> {
        let mut cursor = Cursor { bytes, at: 0 };
        if self.state == State::Header {
            match header(&mut cursor).map_err(|what| self.fault(what))? {
                None => return Ok((0, 0)),
                Some(()) => self.state = State::Rows,
            }
        }
        let mut rows = 0;
        let mut used = cursor.at;
        while let Some(columns) = cursor.take(2) {
            match i16::from_be_bytes([columns[0], columns[1]]) {
                -1 => {
                    if cursor.at < bytes.len() {
                        return Err(self.fault("trailing bytes after the trailer"));
                    }
                    self.state = State::Ended;
                    return Ok((rows, cursor.at));
                }
                count if count == N as i16 => {}
                count => {
                    let what = format!("a row has {count} columns instead of {N}");
                    return Err(self.fault(&what));
                }
            }
            let Some(fields) = self.fields(&mut cursor)? else {
                break;
            };
            insert(fields).map_err(|what| self.fault(&what))?;
            rows += 1;
            used = cursor.at;
        }
        Ok((rows, used))
    }

    /// The fields of a row; `None` if they are incomplete.
    fn fields<'a>(&self, cursor: &mut Cursor<'a>) -> Result<Option<[&'a [u8]; N]>, LoadError> {
        let mut fields: [&[u8]; N] = [&[]; N];
        for (field, name) in fields.iter_mut().zip(self.columns) {
            let Some(length) = cursor.number() else {
                return Ok(None);
            };
            if length > i32::MAX as u32 {
                return Err(self.fault(&format!("{name} is null")));
            }
            let Some(bytes) = cursor.take(length as usize) else {
                return Ok(None);
            };
            *field = bytes;
        }
        Ok(Some(fields))
    }
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
fn header(cursor: &mut Cursor<'_>) -> Result<Option<()>, &'static str> {
    let seen = cursor.bytes.len().min(SIGNATURE.len());
    if cursor.bytes[..seen] != SIGNATURE[..seen] {
        return Err("the signature is missing");
    }
    let read = (|| {
        cursor.take(SIGNATURE.len())?;
        let flags = cursor.number()?;
        let extension = cursor.number()?;
        cursor.take(extension as usize)?;
        Some(flags)
    })();
    match read {
        Some(flags) if flags & CRITICAL_FLAGS != 0 => Err("unsupported flags"),
        Some(_) => Ok(Some(())),
        None => Ok(None),
    }
}

/// The text of a column.
pub fn text<'a>(bytes: &'a [u8], name: &str) -> Result<&'a str, String> {
    std::str::from_utf8(bytes).map_err(|_| format!("{name} is not UTF-8"))
}

/// The value of a bigint column.
pub fn integer(bytes: &[u8], name: &str) -> Result<i64, String> {
    let bytes = bytes.try_into();
    bytes
        .map(i64::from_be_bytes)
        .map_err(|_| format!("{name} is not a bigint"))
}

/// The value of a boolean column.
pub fn boolean(bytes: &[u8], name: &str) -> Result<bool, String> {
    match bytes {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(format!("{name} is not a boolean")),
    }
}
