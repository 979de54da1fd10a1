//! Converts the `data` of an event to JSON that is stored (E14).

use super::value::{Kind, Number, Reader, Span};
use super::{json, msgpack, walk};
use crate::event::limits::{DEPTH, STORED_BYTES, STRING_BYTES};
use crate::event::reject::{Reason, Reject};
use crate::event::{Field, RawData};

/// The nesting depth of `data`; the envelope is level 1.
const DATA_DEPTH: usize = 2;
/// Bytes of a text that are kept if the data does not fit.
const TEXT_BYTES: usize = 256;
/// The end of a text that was cut.
const CUT: &str = "…";
/// Room for the closing brackets of all levels, and for the mark.
const RESERVED: usize = 2 * DEPTH + 64;
/// Bytes of a number that are kept: more than any double needs.
const NUMBER_BYTES: usize = 64;
/// Absolute value of the exponent of a number that is kept.
const EXPONENT: u32 = 400;

impl RawData<'_> {
    /// The data as compact JSON that Postgres can store as jsonb, in at most `STORED_BYTES`.
    ///
    /// Values are those that the producer sent: integers and JSON numbers unchanged, MessagePack
    /// floats in their shortest form. NUL and lone surrogates become U+FFFD; binary values, and
    /// numbers that are not finite or absurdly long, become null. If the data is too long, long
    /// texts that goald does not read are cut and end in "…", and members that do not fit are left out, the fields that
    /// goald reads last; then it has `"goald:incomplete": {"cut": n, "left_out": n}`. The data
    /// must come from a decoded event; for other bytes the result is `null`.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.json_within(STORED_BYTES)
    }

    /// The same without a bound: the data of any length, whole.
    #[must_use]
    pub fn to_whole_json(&self) -> String {
        self.json_within(usize::MAX)
    }

    fn json_within(&self, limit: usize) -> String {
        let written = match *self {
            RawData::MessagePack(bytes) => write::<msgpack::Reader>(bytes, limit),
            RawData::Json(bytes) => write::<json::Reader>(bytes, limit),
        };
        written.unwrap_or_else(|_| "null".to_owned())
    }
}

fn write<'a, R: Reader<'a>>(bytes: &'a [u8], limit: usize) -> Result<String, Reject> {
    let mut whole = Writer::new(limit, usize::MAX);
    let mut reader = R::new(bytes)?;
    let fits = whole.value(&mut reader, DATA_DEPTH)?;
    reader.end()?;
    if fits && whole.left_out == 0 {
        return Ok(whole.to);
    }
    incomplete::<R>(bytes)
}

/// As much of a map as fits: first the fields that goald reads, then the others, in their order.
/// Texts that goald reads are not cut, because a later event may refer to them.
#[cold]
fn incomplete<'a, R: Reader<'a>>(bytes: &'a [u8]) -> Result<String, Reject> {
    let mut writer = Writer::new(STORED_BYTES - RESERVED, TEXT_BYTES);
    writer.to.push('{');
    for rank in [Rank::Known, Rank::KnownParts, Rank::Other] {
        writer.text_bytes = if rank == Rank::Known {
            STRING_BYTES
        } else {
            TEXT_BYTES
        };
        let mut reader = R::new(bytes)?;
        let mut members = reader.begin()?.members();
        loop {
            let key = reader.next_key(&mut members)?;
            if key.is_absent() {
                break;
            }
            if Rank::of(&reader.text(key)) == rank {
                writer.member(&mut reader, key, DATA_DEPTH)?;
            } else {
                walk::value(&mut reader, DATA_DEPTH + 1)?;
            }
        }
    }
    let Writer { cut, left_out, .. } = writer;
    let separator = if writer.to.len() > 1 { "," } else { "" };
    let mark =
        format!("{separator}\"goald:incomplete\":{{\"cut\":{cut},\"left_out\":{left_out}}}}}");
    writer.to.push_str(&mark);
    Ok(writer.to)
}

/// Which members of `data` are stored first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rank {
    Known,
    /// Known fields that may be long.
    KnownParts,
    Other,
}

impl Rank {
    fn of(name: &str) -> Self {
        match Field::of_data(name.as_bytes()) {
            Some(Field::LineItems | Field::StartedBy | Field::Tags | Field::Match) => {
                Self::KnownParts
            }
            Some(_) => Self::Known,
            None => Self::Other,
        }
    }
}

/// Writes values until `limit`; a value that does not fit leaves nothing behind.
struct Writer {
    to: String,
    limit: usize,
    /// The longest text that is written whole.
    text_bytes: usize,
    cut: usize,
    left_out: usize,
}

impl Writer {
    fn new(limit: usize, text_bytes: usize) -> Self {
        Self {
            to: String::new(),
            limit,
            text_bytes,
            cut: 0,
            left_out: 0,
        }
    }

    /// Writes a value and moves past it. False if it does not fit. A map or list that fits only in
    /// part is written in part.
    fn value<'a, R: Reader<'a>>(&mut self, reader: &mut R, depth: usize) -> Result<bool, Reject> {
        let span = reader.begin()?;
        let mut members = span.members();
        match span.kind() {
            Kind::Map | Kind::List if depth > DEPTH => return Err(Reject::new(Reason::TooDeep)),
            Kind::Map => {
                self.to.push('{');
                loop {
                    let key = reader.next_key(&mut members)?;
                    if key.is_absent() {
                        break;
                    }
                    self.member(reader, key, depth)?;
                }
                self.to.push('}');
            }
            Kind::List => {
                self.to.push('[');
                while reader.next_item(&mut members)? {
                    self.item(reader, depth)?;
                }
                self.to.push(']');
            }
            Kind::Text | Kind::Escaped => self.text(reader, span),
            Kind::Number => number(reader.number(span), &mut self.to),
            Kind::True => self.to.push_str("true"),
            Kind::False => self.to.push_str("false"),
            Kind::Null | Kind::Absent | Kind::Binary => self.to.push_str("null"),
        }
        Ok(self.to.len() <= self.limit)
    }

    fn member<'a, R: Reader<'a>>(
        &mut self,
        reader: &mut R,
        key: Span,
        depth: usize,
    ) -> Result<(), Reject> {
        let start = self.to.len();
        self.separate('{');
        self.text(reader, key);
        self.to.push(':');
        self.rest(reader, start, depth)
    }

    fn item<'a, R: Reader<'a>>(&mut self, reader: &mut R, depth: usize) -> Result<(), Reject> {
        let start = self.to.len();
        self.separate('[');
        self.rest(reader, start, depth)
    }

    /// Writes the value of a member or item that begins at `start`, or removes it again.
    fn rest<'a, R: Reader<'a>>(
        &mut self,
        reader: &mut R,
        start: usize,
        depth: usize,
    ) -> Result<(), Reject> {
        let fits = if self.to.len() > self.limit {
            walk::value(reader, depth + 1)?;
            false
        } else {
            self.value(reader, depth + 1)?
        };
        if !fits {
            self.to.truncate(start);
            self.left_out += 1;
        }
        Ok(())
    }

    fn separate(&mut self, opening: char) {
        if !self.to.ends_with(opening) {
            self.to.push(',');
        }
    }

    /// Writes a string in quotes. Characters that JSON does not allow are escaped.
    fn text<'a, R: Reader<'a>>(&mut self, reader: &R, span: Span) {
        let text = reader.lossy_text(span);
        let mut rest = &*text;
        let is_cut = rest.len() > self.text_bytes;
        if is_cut {
            let mut end = self.text_bytes;
            while !rest.is_char_boundary(end) {
                end -= 1;
            }
            rest = &rest[..end];
            self.cut += 1;
        }
        self.to.push('"');
        while let Some(at) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\') {
            let (plain, special) = rest.split_at(at);
            self.to.push_str(plain);
            push_escape(special.as_bytes()[0], &mut self.to);
            rest = &special[1..];
        }
        self.to.push_str(rest);
        if is_cut {
            self.to.push_str(CUT);
        }
        self.to.push('"');
    }
}

fn number(value: Number<'_>, to: &mut String) {
    match value {
        Number::Integer(value) => to.push_str(itoa::Buffer::new().format(value)),
        Number::Unsigned(value) => to.push_str(itoa::Buffer::new().format(value)),
        Number::Float(value) if value.is_finite() => {
            to.push_str(zmij::Buffer::new().format_finite(value));
        }
        Number::Text(value) if is_kept(value) => to.push_str(value),
        Number::Float(_) | Number::Text(_) => to.push_str("null"),
    }
}

/// Whether Postgres, and readers that use doubles, can hold a number.
fn is_kept(text: &str) -> bool {
    let exponent = text
        .find(['e', 'E'])
        .map(|at| text[at + 1..].parse::<i32>());
    text.len() <= NUMBER_BYTES
        && exponent.is_none_or(|value| value.is_ok_and(|value| value.unsigned_abs() <= EXPONENT))
        && text.parse().is_ok_and(f64::is_finite)
}

fn push_escape(byte: u8, to: &mut String) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' => to.push_str("\\\""),
        b'\\' => to.push_str("\\\\"),
        b'\n' => to.push_str("\\n"),
        b'\r' => to.push_str("\\r"),
        b'\t' => to.push_str("\\t"),
        _ => {
            to.push_str("\\u00");
            to.push(char::from(HEX[usize::from(byte >> 4)]));
            to.push(char::from(HEX[usize::from(byte & 0x0f)]));
        }
    }
}
