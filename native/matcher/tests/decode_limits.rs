//! The limits (D9), and errors in the encodings.

mod decode_support;

use decode_support::{NOW_US, envelope, message_pack, with_data};
use goald_matcher::decode::decode;
use serde_json::json;

fn rejection(bytes: &[u8]) -> String {
    match decode(bytes, NOW_US) {
        Ok(event) => panic!("accepted: {event:?}"),
        Err(reject) => reject.to_string(),
    }
}

/// A form event with the field `more` in its data; `value` is its JSON text.
fn json_with(value: &str) -> Vec<u8> {
    let event = envelope("form.submitted", json!({"contact_id": "c-1", "more": "@"}));
    event.to_string().replace("\"@\"", value).into_bytes()
}

#[test]
fn invalid_json_and_json_beyond_the_limits_is_rejected() {
    let deep = format!("{}1{}", "[".repeat(31), "]".repeat(31));
    let keys: Vec<_> = (0..65).map(|n| format!("\"k{n}\":0")).collect();
    let cases = [
        ("1.", "not valid JSON"),
        ("01", "not valid JSON"),
        ("-", "not valid JSON"),
        ("+1", "not valid JSON"),
        (".5", "not valid JSON"),
        ("1e", "not valid JSON"),
        ("NaN", "not valid JSON"),
        ("nul", "not valid JSON"),
        ("Infinity", "not valid JSON"),
        ("'a'", "not valid JSON"),
        ("[1,]", "not valid JSON"),
        ("[,1]", "not valid JSON"),
        ("[1 2]", "not valid JSON"),
        ("{,}", "not valid JSON"),
        ("{\"a\":1,}", "not valid JSON"),
        ("{\"a\" 1}", "not valid JSON"),
        ("{\"a\"}", "not valid JSON"),
        ("{1:1}", "a key is not a string"),
        ("{null:1}", "a key is not a string"),
        ("1e309", "a number is not finite"),
        ("-1e400", "a number is not finite"),
        ("1e401", "the exponent of a number exceeds 400"),
        ("1e-401", "the exponent of a number exceeds 400"),
        (
            "0e99999999999999999999",
            "the exponent of a number exceeds 400",
        ),
        (
            "\"\u{1}\"",
            "a string contains an unescaped control character",
        ),
        (
            "\"a\nb\"",
            "a string contains an unescaped control character",
        ),
        (
            "\"\\t\nb\"",
            "a string contains an unescaped control character",
        ),
        ("\"\\x\"", "a string contains an invalid escape sequence"),
        (
            "\"\\u12g4\"",
            "a string contains an invalid escape sequence",
        ),
        ("\"\\u0000\"", "a string contains a NUL character"),
        ("\"\\ud800\"", "a string contains a lone surrogate"),
        ("\"\\ud800x\"", "a string contains a lone surrogate"),
        ("\"\\udc00\"", "a string contains a lone surrogate"),
        ("\"\\ud800\\u0041\"", "a string contains a lone surrogate"),
        ("\"\\ud83d\\ud83d\"", "a string contains a lone surrogate"),
        (&deep, "nested deeper than 32 levels"),
        (
            &format!("{{{}}}", keys.join(",")),
            "a map has more than 64 keys",
        ),
        (
            &format!("\"{}\"", "x".repeat(1025)),
            "a string is longer than 1024 bytes",
        ),
        (
            &format!("\"{}\"", "\\u00e9".repeat(513)),
            "a string is longer than 1024 bytes",
        ),
        (
            &format!("{{\"{}\":1}}", "k".repeat(1025)),
            "a string is longer than 1024 bytes",
        ),
        (&"9".repeat(400), "a number is not finite"),
        (
            &format!("0.{}", "1".repeat(1023)),
            "a number is longer than 1024 bytes",
        ),
        ("{\"a\":1,\"b\":2,\"a\":3}", "duplicate key"),
        ("[{\"a\":1,\"\\u0061\":3}]", "duplicate key"),
    ];
    for (value, expected) in cases {
        let message = rejection(&json_with(value));
        let expected = format!("data: {expected}");
        assert!(message.starts_with(&expected), "{value:.80}: {message}");
    }
}

#[test]
fn json_at_the_limits_is_accepted() {
    let deep = format!("{}1{}", "[".repeat(30), "]".repeat(30));
    let keys: Vec<_> = (0..64).map(|n| format!("\"k{n}\":0")).collect();
    for value in [
        "1e308",
        "-1.5E-400",
        "0e+400",
        "0.0",
        "-0",
        "\"\\ud83d\\ude00\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        &deep,
        &format!("{{{}}}", keys.join(",")),
        &format!("\"{}\"", "x".repeat(1024)),
        &format!("\"{}\"", "\\u00e9".repeat(512)),
        " [ { } , [ ] , true , false , null ] ",
    ] {
        let bytes = json_with(value);
        let event = decode(&bytes, NOW_US).unwrap_or_else(|error| panic!("{value:.80}: {error}"));
        let stored: serde_json::Value = serde_json::from_str(&event.data.to_json()).unwrap();
        assert_eq!(
            stored["more"],
            serde_json::from_str::<serde_json::Value>(value).unwrap()
        );
    }
}

/// A form event with the field `more` in its data; `value` is its bytes.
fn packed_with(value: &[u8]) -> Vec<u8> {
    let event = envelope(
        "form.submitted",
        json!({"contact_id": "c-1", "more": "@@@@@@@@"}),
    );
    let bytes = message_pack(&event);
    let mark = b"\xa8@@@@@@@@";
    let at = bytes
        .windows(mark.len())
        .position(|part| part == mark)
        .unwrap();
    [&bytes[..at], value, &bytes[at + mark.len()..]].concat()
}

#[test]
fn invalid_message_pack_and_message_pack_beyond_the_limits_is_rejected() {
    let deep = [vec![0x91; 31], vec![1]].concat();
    let mut many_keys = vec![0xde, 0, 65];
    for key in 0..65 {
        many_keys.extend([0xa1, b'0' + key, 1]);
    }
    let long = [vec![0xda, 4, 1], vec![b'x'; 1025]].concat();
    let cases: [(&[u8], &str); 18] = [
        (b"\xc1", "invalid MessagePack type byte"),
        (
            b"\xc4\x01a",
            "binary and extension values are not supported",
        ),
        (
            b"\xd4\x01a",
            "binary and extension values are not supported",
        ),
        (
            b"\xd6\xff\x00\x00\x00\x00",
            "binary and extension values are not supported",
        ),
        (b"\xca\x7f\xc0\x00\x00", "a number is not finite"),
        (
            b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
            "a number is not finite",
        ),
        (
            b"\xcb\xff\xf0\x00\x00\x00\x00\x00\x00",
            "a number is not finite",
        ),
        (b"\xa2a\x00", "a string contains a NUL character"),
        (b"\xa9abcdefgh\x00", "a string contains a NUL character"),
        (b"\xa1\xff", "text is not valid UTF-8"),
        (b"\xa3\xed\xa0\x80", "text is not valid UTF-8"),
        (b"\x81\x01\x01", "a key is not a string"),
        (b"\x82\xa1a\x01\xa1a\x02", "duplicate key"),
        (b"\xdd\xff\xff\xff\xff", "unexpected end of the event"),
        (b"\xdf\x80\x00\x00\x00", "unexpected end of the event"),
        (&deep, "nested deeper than 32 levels"),
        (&many_keys, "a map has more than 64 keys"),
        (&long, "a string is longer than 1024 bytes"),
    ];
    for (value, expected) in cases {
        let message = rejection(&packed_with(value));
        assert!(
            message.starts_with(&format!("data: {expected}")),
            "{value:.40x?}: {message}"
        );
    }
}

#[test]
fn message_pack_at_the_limits_is_accepted() {
    for value in [
        [vec![0x91; 30], vec![1]].concat(),
        [vec![0xda, 4, 0], vec![b'x'; 1024]].concat(),
        vec![0xdb, 0, 0, 0, 1, b'x'],
        vec![0xdc, 0, 1, 0xe0],
        vec![0xdd, 0, 0, 0, 1, 0xc0],
        vec![0xdf, 0, 0, 0, 1, 0xd9, 1, b'k', 0xc3],
        vec![0xde, 0, 1, 0xda, 0, 1, b'k', 0xc2],
        vec![0x81, 0xdb, 0, 0, 0, 1, b'k', 0x90],
    ] {
        let bytes = packed_with(&value);
        let event = decode(&bytes, NOW_US).unwrap_or_else(|error| panic!("{value:x?}: {error}"));
        serde_json::from_str::<serde_json::Value>(&event.data.to_json()).unwrap();
    }
}

#[test]
fn an_event_of_more_than_64_kib_is_rejected() {
    let mut event = with_data("form.submitted");
    event["data"]["more"] = vec!["x".repeat(1000); 64].into();
    let bytes = message_pack(&event);
    assert!(bytes.len() < 65536);
    assert!(decode(&bytes, NOW_US).is_ok());
    event["data"]["more"] = vec!["x".repeat(1000); 66].into();
    for bytes in [event.to_string().into_bytes(), message_pack(&event)] {
        assert_eq!(rejection(&bytes), "the event is larger than 64 KiB");
    }
}

#[test]
fn the_envelope_has_at_most_64_attributes() {
    let mut event = with_data("form.submitted");
    let count = event.as_object().unwrap().len();
    for n in count..64 {
        event[format!("x{n}")] = json!(n);
    }
    assert!(decode(event.to_string().as_bytes(), NOW_US).is_ok());
    event["one-more"] = json!(null);
    for bytes in [event.to_string().into_bytes(), message_pack(&event)] {
        assert!(rejection(&bytes).starts_with("a map has more than 64 keys"));
    }
}
