//! Cutting the body of a request into the events that it holds.

use std::fmt;

use crate::wire::string_stop;

/// Events in one request.
pub const BODY_EVENTS: usize = 1_000;

/// Why nothing of a body can be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// Neither an object nor a list.
    NotEvents,
    /// A list that is not JSON; the place where that shows, counted from 0.
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

/// The events of a body, as they lie in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Body<'b> {
    One(&'b [u8]),
    Many(Vec<&'b [u8]>),
}

impl<'b> Body<'b> {
    /// Tells the events apart by brackets and quotes alone, looking at each byte once: whether
    /// one of them is JSON is for decoding to say, so that a bad one costs no other (D4).
    pub fn split(bytes: &'b [u8]) -> Result<Self, BodyError> {
        let mut cursor = Cursor { bytes, at: 0 };
        match cursor.solid() {
            Some(b'{') => Ok(Body::One(bytes[cursor.at..].trim_ascii_end())),
            Some(b'[') => cursor.list().map(Body::Many),
            _ => Err(BodyError::NotEvents),
        }
    }
}

struct Cursor<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Cursor<'b> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Passes over blanks and gives the byte after them.
    fn solid(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
        self.peek()
    }

    /// The items of the whole body, from its opening bracket on.
    fn list(&mut self) -> Result<Vec<&'b [u8]>, BodyError> {
        let mut items = Vec::new();
        self.at += 1;
        if self.solid() == Some(b']') {
            return Err(BodyError::NoEvents);
        }
        loop {
            self.solid();
            let start = self.at;
            self.pass()?;
            if items.len() == BODY_EVENTS {
                return Err(BodyError::TooManyEvents);
            }
            items.push(&self.bytes[start..self.at]);
            match self.solid() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.fault()),
            }
        }
        self.at += 1;
        match self.solid() {
            None => Ok(items),
            Some(_) => Err(self.fault()),
        }
    }

    /// Passes over an item: to where its brackets are balanced, else to what ends it.
    fn pass(&mut self) -> Result<(), BodyError> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                    if depth == 0 {
                        return Ok(());
                    }
                    continue;
                }
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']') if depth > 0 => {
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        return Ok(());
                    }
                }
                Some(b',' | b' ' | b'\n' | b'\r' | b'\t' | b']' | b'}') if depth == 0 => {
                    return if self.at > start {
                        Ok(())
                    } else {
                        Err(self.fault())
                    };
                }
                Some(_) => {}
                None => return Err(self.fault()),
            }
            self.at += 1;
        }
    }

    /// Passes over a string, from its opening quote on; control characters in it are not this
    /// one's to refuse.
    fn string(&mut self) -> Result<(), BodyError> {
        self.at += 1;
        loop {
            self.at = string_stop(self.bytes, self.at);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return Err(self.fault()),
            }
        }
    }

    fn fault(&self) -> BodyError {
        BodyError::NotJson(self.at.min(self.bytes.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::{BODY_EVENTS, Body, BodyError};

    fn many(body: &str) -> Result<Vec<String>, BodyError> {
        match Body::split(body.as_bytes())? {
            Body::One(_) => panic!("{body} is a list"),
            Body::Many(items) => {
                let text = |item: &&[u8]| String::from_utf8(item.to_vec()).unwrap();
                Ok(items.iter().map(text).collect())
            }
        }
    }

    #[test]
    fn a_list_is_cut_at_its_own_commas() {
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
    fn an_object_is_the_whole_body_without_the_blanks_around_it() {
        let cut = Body::split(b"\r\n {\"a\": 1} \n");
        assert_eq!(cut, Ok(Body::One(b"{\"a\": 1}")));
    }

    #[test]
    fn what_is_no_list_is_told_by_its_place() {
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
            let cut = Body::split(body.as_bytes());
            assert_eq!(cut, Err(BodyError::NotEvents), "{body}");
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
