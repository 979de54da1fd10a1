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
        (&deep, "nested deeper than 32 levels"),
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
    let keys: Vec<_> = (0..65).map(|n| format!("\"k{n}\":0")).collect();
    for value in [
        "1e308",
        "-1.5E-400",
        "0e+400",
        "0.0",
        "-0",
        "\"\\ud83d\\ude00\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        &deep,
        &format!("{{{}}}", keys.join(",")),
        &format!("\"{}\"", "x".repeat(1025)),
        &format!("\"{}\"", "\\u00e9".repeat(513)),
        &format!("{{\"{}\":1}}", "k".repeat(1025)),
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
    let cases: [(&[u8], &str); 5] = [
        (b"\xc1", "invalid MessagePack type byte"),
        (b"\x81\x01\x01", "a key is not a string"),
        (b"\xdd\xff\xff\xff\xff", "unexpected end of the event"),
        (b"\xdf\x80\x00\x00\x00", "unexpected end of the event"),
        (&deep, "nested deeper than 32 levels"),
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

/// The stored form of an event's field `more`, given as JSON text or as MessagePack.
fn stored(bytes: &[u8]) -> serde_json::Value {
    let event = decode(bytes, NOW_US).unwrap_or_else(|error| panic!("{bytes:.80x?}: {error}"));
    let mut data: serde_json::Value = serde_json::from_str(&event.data.to_json()).unwrap();
    assert_eq!(data["contact_id"], "c-1");
    data["more"].take()
}

#[test]
fn text_that_is_not_read_may_be_anything_and_is_stored_as_postgres_can() {
    for (value, expected) in [
        ("\"a\\u0000b\"", json!("a\u{fffd}b")),
        ("\"\\ud83d\"", json!("\u{fffd}")),
        ("\"\\ud83dx\"", json!("\u{fffd}x")),
        ("\"\\udc00\\ud83d\\ude00\"", json!("\u{fffd}\u{1f600}")),
        ("\"\\ud800\\u0041\"", json!("\u{fffd}A")),
        (
            "{\"\\u0000\":[\"\\udfff\"]}",
            json!({"\u{fffd}": ["\u{fffd}"]}),
        ),
        ("1e309", json!(null)),
        ("-1e999999999999", json!(null)),
        ("1e-401", json!(null)),
        (&"9".repeat(400), json!(null)),
        (&format!("0.{}", "1".repeat(2000)), json!(null)),
        ("{\"a\":1,\"a\":2}", json!({"a": 2})),
    ] {
        assert_eq!(stored(&json_with(value)), expected, "{value:.80}");
    }
    for (value, expected) in [
        (&b"\xa2a\x00"[..], json!("a\u{fffd}")),
        (b"\xa1\xff", json!("\u{fffd}")),
        (b"\x81\xa1\x00\xa1\xc3", json!({"\u{fffd}": "\u{fffd}"})),
        (b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", json!(null)),
        (b"\xca\x7f\x80\x00\x00", json!(null)),
        (b"\xc4\x03abc", json!(null)),
        (b"\xc5\x00\x03abc", json!(null)),
        (b"\xc7\x03\x01abc", json!(null)),
        (b"\xd4\x01a", json!(null)),
        (b"\x92\xd8\x01aaaaaaaaaaaaaaaa\x07", json!([null, 7])),
    ] {
        assert_eq!(stored(&packed_with(value)), expected, "{value:x?}");
    }
}

#[test]
fn data_of_more_than_4_kib_is_stored_with_its_known_fields_and_marked() {
    let answers: serde_json::Map<_, _> = (0..300)
        .map(|n| (format!("question-{n}"), json!("ж\"".repeat(200))))
        .collect();
    let event = envelope(
        "form.submitted",
        json!({"answers": answers, "contact_id": "c-1", "form_id": "f-1", "last": 1}),
    );
    for bytes in [event.to_string().into_bytes(), message_pack(&event)] {
        let data = decode(&bytes, NOW_US).unwrap().data;
        let (json, whole) = (data.to_json(), data.to_whole_json());
        let whole: serde_json::Value = serde_json::from_str(&whole).unwrap();
        assert_eq!(whole, event["data"]);
        assert!(json.len() <= 4096, "{}", json.len());
        let data: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (&data["contact_id"], &data["form_id"]),
            (&json!("c-1"), &json!("f-1"))
        );
        let kept = data["answers"].as_object().unwrap();
        assert!(
            kept.len() > 3
                && kept
                    .values()
                    .all(|text| text.as_str().unwrap().ends_with('…'))
        );
        let mark = &data["goald:incomplete"];
        assert_eq!(mark["left_out"], json!(300 - kept.len()), "{data}");
        assert!(mark["cut"].as_u64().unwrap() >= kept.len() as u64);
    }
}

#[test]
fn ids_are_stored_whole_before_long_line_items() {
    let (id, name) = ("é".repeat(256), "x".repeat(1024));
    let items: Vec<_> = (0..600)
        .map(|n| json!({"product_id": format!("p-{n}"), "title": "t".repeat(300)}))
        .collect();
    let event = envelope(
        "payment.completed",
        json!({"a": "y".repeat(9000), "line_items": items, "contact_id": "c-1",
               "payment_id": id, "tag_name": name}),
    );
    for bytes in [event.to_string().into_bytes(), message_pack(&event)] {
        let json = decode(&bytes, NOW_US).unwrap().data.to_json();
        assert!(json.len() <= 4096, "{}", json.len());
        let data: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (&data["payment_id"], &data["tag_name"]),
            (&json!(id), &json!(name))
        );
        assert_eq!(data["line_items"][0]["product_id"], "p-0");
    }
}

#[test]
fn an_event_that_is_larger_than_one_passed_on_is_rejected() {
    let mut event = with_data("form.submitted");
    event["data"]["more"] = "x".repeat(255 * 1024).into();
    let bytes = message_pack(&event);
    assert!(decode(&bytes, NOW_US).unwrap().data.to_json().len() <= 4096);
    event["data"]["more"] = "x".repeat(257 * 1024).into();
    for bytes in [event.to_string().into_bytes(), message_pack(&event)] {
        assert_eq!(rejection(&bytes), "the event is larger than 256 KiB");
    }
}

#[test]
fn the_envelope_may_have_any_number_of_attributes() {
    let mut event = with_data("form.submitted");
    for n in 0..100 {
        event[format!("x{n}")] = json!(n);
    }
    for bytes in [event.to_string().into_bytes(), message_pack(&event)] {
        assert!(decode(&bytes, NOW_US).is_ok());
    }
}
