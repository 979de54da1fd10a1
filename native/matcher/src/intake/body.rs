//! Splits the body of a request into events.

use std::fmt;

use crate::wire::json::Cursor;
use crate::wire::string_stop;

/// Events in one request.
pub const BODY_EVENTS: usize = 1_000;

/// Why a body as a whole cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// Neither an object nor a list.
    NotEvents,
    /// A list that is not valid JSON, with the position of the error, counted from 0.
    NotJson(usize),
    NoEvents,
    TooManyEvents,
}

impl fmt::Display for BodyError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BodyError::NotEvents => {
                to.write_str("the body is neither a JSON object nor a list of them")
            }
            BodyError::NotJson(byte) => write!(to, "the body is not valid JSON (byte {byte})"),
            BodyError::NoEvents => to.write_str("the list has no events"),
            BodyError::TooManyEvents => {
                write!(to, "the list has more than {BODY_EVENTS} events")
            }
        }
    }
}

impl std::error::Error for BodyError {}

/// The events of a body, as slices of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Body<'b> {
    Object(&'b [u8]),
    List(Vec<&'b [u8]>),
}

impl<'b> Body<'b> {
    /// Splits at brackets and quotes, reading each byte once. Whether an event is valid JSON is
    /// checked when it is decoded, so that an invalid event does not affect the others (D4).
    pub fn split(bytes: &'b [u8]) -> Result<Self, BodyError> {
        let mut splitter = Splitter(Cursor::new(bytes));
        match splitter.0.token() {
            Some(b'{') => Ok(Body::Object(bytes[splitter.0.at..].trim_ascii_end())),
            Some(b'[') => splitter.list().map(Body::List),
            _ => Err(BodyError::NotEvents),
        }
    }
}

struct Splitter<'b>(Cursor<&'b [u8]>);

impl<'b> Splitter<'b> {
    /// The items of the list that is the whole body. The position is at its opening bracket.
    fn list(&mut self) -> Result<Vec<&'b [u8]>, BodyError> {
        let mut items = Vec::new();
        self.0.at += 1;
        if self.0.token() == Some(b']') {
            return Err(BodyError::NoEvents);
        }
        loop {
            self.0.token();
            let start = self.0.at;
            self.skip()?;
            if items.len() == BODY_EVENTS {
                return Err(BodyError::TooManyEvents);
            }
            items.push(&self.0.input[start..self.0.at]);
            match self.0.token() {
                Some(b',') => self.0.at += 1,
                Some(b']') => break,
                _ => return Err(self.not_json()),
            }
        }
        self.0.at += 1;
        match self.0.token() {
            None => Ok(items),
            Some(_) => Err(self.not_json()),
        }
    }

    /// Skips an item: to its balancing bracket, or to the byte after it.
    fn skip(&mut self) -> Result<(), BodyError> {
        let start = self.0.at;
        let mut depth = 0_usize;
        loop {
            match self.0.peek() {
                Some(b'"') => {
                    self.skip_string()?;
                    if depth == 0 {
                        return Ok(());
                    }
                    continue;
                }
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']') if depth > 0 => {
                    depth -= 1;
                    if depth == 0 {
                        self.0.at += 1;
                        return Ok(());
                    }
                }
                Some(b',' | b' ' | b'\n' | b'\r' | b'\t' | b']' | b'}') if depth == 0 => {
                    return if self.0.at > start {
                        Ok(())
                    } else {
                        Err(self.not_json())
                    };
                }
                Some(_) => {}
                None => return Err(self.not_json()),
            }
            self.0.at += 1;
        }
    }

    /// Skips a string. The position is at its opening quote. Control characters are allowed here
    /// and rejected when the event is decoded.
    fn skip_string(&mut self) -> Result<(), BodyError> {
        self.0.at += 1;
        loop {
            self.0.at = string_stop(self.0.input, self.0.at);
            match self.0.peek() {
                Some(b'"') => {
                    self.0.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.0.at += 2,
                Some(_) => self.0.at += 1,
                None => return Err(self.not_json()),
            }
        }
    }

    fn not_json(&self) -> BodyError {
        BodyError::NotJson(self.0.at.min(self.0.input.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::{BODY_EVENTS, Body, BodyError};

    fn many(body: &str) -> Result<Vec<String>, BodyError> {
        match Body::split(body.as_bytes())? {
            Body::Object(_) => panic!("{body} must be a list"),
            Body::List(items) => {
                let text = |item: &&[u8]| String::from_utf8(item.to_vec()).unwrap();
                Ok(items.iter().map(text).collect())
            }
        }
    }

    #[test]
    fn a_list_is_split_at_its_own_commas() {
        let items = [
            r#"{"a":[1,{"b":"],}"}]}"#,
            r#"{"c":"\"]\\"}"#,
            "3",
            r#""x,y""#,
            "null",
            "[1,2]",
            "{]",
            "{\"a\":\"\u{1}\"}",
        ];
        let body = format!(" [ {} ] ", items.join(" ,\n"));
        assert_eq!(many(&body).unwrap(), items);
    }

    #[test]
    fn an_object_is_the_whole_body_without_surrounding_whitespace() {
        let body = Body::split(b"\r\n {\"a\": 1} \n");
        assert_eq!(body, Ok(Body::Object(b"{\"a\": 1}")));
    }

    #[test]
    fn an_invalid_list_is_reported_with_its_position() {
        for (body, byte) in [
            ("[", 1),
            ("[{}", 3),
            ("[{},", 4),
            ("[{},]", 4),
            ("[,{}]", 1),
            ("[{} {}]", 4),
            ("[{}] x", 5),
            ("[{}}]", 3),
            ("[\"abc", 5),
            ("[\"abc\\", 6),
            ("[{\"a\":1]", 8),
        ] {
            assert_eq!(many(body), Err(BodyError::NotJson(byte)), "{body}");
        }
        for body in ["", "  ", "3", "\"[]\"", "null", "\u{feff}[{}]"] {
            let split = Body::split(body.as_bytes());
            assert_eq!(split, Err(BodyError::NotEvents), "{body}");
        }
    }

    #[test]
    fn a_list_has_from_one_to_a_thousand_events() {
        let list = |count| format!("[{}]", vec!["{}"; count].join(","));
        assert_eq!(many("[ ]"), Err(BodyError::NoEvents));
        assert_eq!(many(&list(BODY_EVENTS)).unwrap().len(), BODY_EVENTS);
        assert_eq!(many(&list(BODY_EVENTS + 1)), Err(BodyError::TooManyEvents));
    }
}
