//! What is refused, and the words it is refused with (D4, D9), in both encodings.

mod decode_support;

use decode_support::{NOW_US, envelope, message_pack, with_data};
use goald_engine::decode::decode;
use rmpv::Value as Packed;
use serde_json::json;

fn refusal(bytes: &[u8]) -> String {
    match decode(bytes, NOW_US) {
        Ok(event) => panic!("accepted: {event:?}"),
        Err(reject) => reject.to_string(),
    }
}

#[test]
fn attributes_are_checked_in_both_encodings() {
    let long = "x".repeat(129);
    let cases = [
        ("id", json!(null), "id: required, but absent"),
        ("id", json!(""), "id: empty"),
        ("id", json!(5), "id: not a string"),
        ("source", json!(null), "source: required, but absent"),
        ("source", json!([]), "source: not a string"),
        ("type", json!(""), "type: empty"),
        ("type", json!({}), "type: not a string"),
        ("time", json!(null), "time: required, but absent"),
        ("time", json!(1_795_181_400), "time: not a string"),
        (
            "time",
            json!("2026-02-30T00:00:00Z"),
            "time: not an RFC 3339 time with an offset",
        ),
        (
            "time",
            json!("2026-11-20T13:30:00"),
            "time: not an RFC 3339 time with an offset",
        ),
        (
            "time",
            json!("2026-11-21T13:30:00.000001Z"),
            "time: more than 24 h ahead",
        ),
        ("tenantid", json!(null), "tenantid: required, but absent"),
        ("tenantid", json!(1.5), "tenantid: not a string"),
        (
            "tenantid",
            json!(""),
            "tenantid: not an id of 1 to 128 characters without control characters",
        ),
        (
            "tenantid",
            json!(long),
            "tenantid: not an id of 1 to 128 characters without control characters",
        ),
        (
            "tenantid",
            json!("a\u{7f}"),
            "tenantid: not an id of 1 to 128 characters without control characters",
        ),
        ("data", json!(null), "data: required, but absent"),
        ("data", json!([1]), "data: not a map"),
        ("data", json!("{}"), "data: not a map"),
        ("data", json!({}), "data.contact_id: required, but absent"),
        (
            "data",
            json!({"contact_id": null}),
            "data.contact_id: required, but absent",
        ),
        (
            "data",
            json!({"contact_id": 7}),
            "data.contact_id: not a string",
        ),
        (
            "data",
            json!({"contact_id": "a\nb"}),
            "data.contact_id: not an id of 1 to 128 characters without control characters",
        ),
        ("specversion", json!("0.3"), "specversion: not 1.0"),
        ("specversion", json!(1.0), "specversion: not a string"),
        ("traceparent", json!(0), "traceparent: not a string"),
        (
            "traceparent",
            json!(long),
            "traceparent: longer than 128 characters",
        ),
    ];
    for (attribute, value, words) in cases {
        let mut event = envelope("form.submitted", json!({"contact_id": "c-1"}));
        event[attribute] = value.clone();
        assert_eq!(
            refusal(event.to_string().as_bytes()),
            words,
            "JSON {attribute} {value}"
        );
        assert_eq!(
            refusal(&message_pack(&event)),
            words,
            "MessagePack {attribute} {value}"
        );
    }
}

#[test]
fn an_absent_attribute_is_named() {
    for attribute in ["id", "source", "type", "time", "tenantid", "data"] {
        let mut event = envelope("form.submitted", json!({"contact_id": "c-1"}));
        event.as_object_mut().unwrap().remove(attribute);
        let words = format!("{attribute}: required, but absent");
        assert_eq!(refusal(event.to_string().as_bytes()), words);
        assert_eq!(refusal(&message_pack(&event)), words);
    }
}

#[test]
fn fields_that_a_type_reads_are_checked() {
    const NOT_AN_ID: &str = "not an id of 1 to 128 characters without control characters";
    const NOT_A_COUNT: &str = "not a whole number from 0 to 2147483647";
    const NOT_AN_AMOUNT: &str = "not a decimal number of at most 18 digits";
    let cases = [
        ("contact.tag.added", "tag_id", json!(1), "not a string"),
        ("contact.tag.added", "tag_id", json!(""), NOT_AN_ID),
        (
            "contact.tag.added",
            "tag_name",
            json!(["Customer"]),
            "not a string",
        ),
        (
            "payment.completed",
            "amount",
            json!("1e1000000"),
            NOT_AN_AMOUNT,
        ),
        ("payment.completed", "amount", json!("１２"), NOT_AN_AMOUNT),
        ("payment.completed", "amount", json!("NaN"), NOT_AN_AMOUNT),
        ("payment.completed", "amount", json!("1_000"), NOT_AN_AMOUNT),
        (
            "payment.completed",
            "amount",
            json!("1234567890123456789"),
            NOT_AN_AMOUNT,
        ),
        (
            "payment.completed",
            "amount",
            json!(1_234_567_890_123_456_789_i64),
            NOT_AN_AMOUNT,
        ),
        (
            "payment.completed",
            "amount",
            json!(u64::MAX),
            NOT_AN_AMOUNT,
        ),
        ("payment.completed", "amount", json!(1e18), NOT_AN_AMOUNT),
        ("payment.completed", "amount", json!(true), NOT_AN_AMOUNT),
        ("payment.completed", "amount", json!([]), NOT_AN_AMOUNT),
        ("payment.completed", "currency", json!(840), "not a string"),
        ("payment.completed", "product_id", json!(7), "not a string"),
        ("payment.completed", "line_items", json!({}), "not a list"),
        (
            "payment.completed",
            "line_items",
            json!(["p-1"]),
            "an item is not a map",
        ),
        (
            "appointment.booked",
            "calendar_id",
            json!(false),
            "not a string",
        ),
        ("appointment.booked", "service_id", json!(""), NOT_AN_ID),
        ("form.submitted", "form_id", json!(123), "not a string"),
        (
            "pipeline.stage.changed",
            "pipeline_id",
            json!({}),
            "not a string",
        ),
        (
            "pipeline.stage.changed",
            "stage_id",
            json!("a\tb"),
            NOT_AN_ID,
        ),
        (
            "workflow.enrollment.started",
            "workflow_id",
            json!(null),
            "required, but absent",
        ),
        (
            "workflow.enrollment.started",
            "enrollment_id",
            json!(""),
            NOT_AN_ID,
        ),
        (
            "workflow.enrollment.started",
            "enrolled_at",
            json!(17),
            "not a string",
        ),
        (
            "workflow.enrollment.started",
            "enrolled_at",
            json!("yesterday"),
            "not an RFC 3339 time with an offset",
        ),
        (
            "workflow.enrollment.started",
            "enrolled_at",
            json!("2026-11-25T00:00:00Z"),
            "more than 24 h ahead",
        ),
        (
            "workflow.enrollment.started",
            "pending_actions",
            json!(-1),
            NOT_A_COUNT,
        ),
        (
            "workflow.enrollment.started",
            "pending_actions",
            json!(1.5),
            NOT_A_COUNT,
        ),
        (
            "workflow.enrollment.started",
            "pending_actions",
            json!(2_147_483_648_u64),
            NOT_A_COUNT,
        ),
        (
            "workflow.enrollment.started",
            "pending_actions",
            json!("3"),
            NOT_A_COUNT,
        ),
        (
            "workflow.enrollment.ended",
            "workflow_id",
            json!(5),
            "not a string",
        ),
        (
            "workflow.enrollment.ended",
            "reason",
            json!("bored"),
            "not one of completed, exited and cancelled",
        ),
        (
            "workflow.enrollment.ended",
            "reason",
            json!(null),
            "required, but absent",
        ),
        (
            "workflow.exit.acknowledged",
            "cancelled_actions",
            json!(-5),
            NOT_A_COUNT,
        ),
    ];
    for (name, field, value, words) in cases {
        let mut event = with_data(name);
        event["data"][field] = value;
        let words = format!("data.{field}: {words}");
        assert_eq!(refusal(event.to_string().as_bytes()), words, "JSON {event}");
        assert_eq!(refusal(&message_pack(&event)), words, "MessagePack {event}");
    }
}

#[test]
fn products_of_line_items_are_checked() {
    for (item, words) in [
        (
            json!({"product_id": 5}),
            "data.line_items[].product_id: not a string",
        ),
        (
            json!({"product_id": ""}),
            "data.line_items[].product_id: not an id of 1 to 128 characters without control \
             characters",
        ),
    ] {
        let mut event = with_data("payment.completed");
        event["data"]["line_items"] = json!([null, {}, {"product_id": null}, item]);
        assert_eq!(refusal(event.to_string().as_bytes()), words);
        assert_eq!(refusal(&message_pack(&event)), words);
    }
}

/// A form event whose data has one field more, whose JSON text is given.
fn json_with(value: &str) -> Vec<u8> {
    let event = envelope("form.submitted", json!({"contact_id": "c-1", "more": "@"}));
    event.to_string().replace("\"@\"", value).into_bytes()
}

#[test]
fn json_outside_of_the_limits_is_refused_with_its_place() {
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
        ("1e401", "a number's exponent is beyond 400"),
        ("1e-401", "a number's exponent is beyond 400"),
        (
            "0e99999999999999999999",
            "a number's exponent is beyond 400",
        ),
        (
            "\"\u{1}\"",
            "a string holds a control character that is not escaped",
        ),
        (
            "\"a\nb\"",
            "a string holds a control character that is not escaped",
        ),
        (
            "\"\\t\nb\"",
            "a string holds a control character that is not escaped",
        ),
        (
            "\"\\x\"",
            "a string holds an escape that JSON does not know",
        ),
        (
            "\"\\u12g4\"",
            "a string holds an escape that JSON does not know",
        ),
        ("\"\\u0000\"", "a string holds a NUL character"),
        ("\"\\ud800\"", "a string holds a lone surrogate"),
        ("\"\\ud800x\"", "a string holds a lone surrogate"),
        ("\"\\udc00\"", "a string holds a lone surrogate"),
        ("\"\\ud800\\u0041\"", "a string holds a lone surrogate"),
        ("\"\\ud83d\\ud83d\"", "a string holds a lone surrogate"),
        (&deep, "maps and lists are nested deeper than 32"),
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
        ("{\"a\":1,\"b\":2,\"a\":3}", "a key is there twice"),
        ("[{\"a\":1,\"\\u0061\":3}]", "a key is there twice"),
    ];
    for (value, words) in cases {
        let refused = refusal(&json_with(value));
        let expected = format!("data: {words}");
        assert!(refused.starts_with(&expected), "{value:.80}: {refused}");
    }
}

#[test]
fn json_at_the_limits_is_taken() {
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

/// A form event whose data has one field more, whose bytes are given.
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
fn message_pack_outside_of_the_limits_is_refused() {
    let deep = [vec![0x91; 31], vec![1]].concat();
    let mut many_keys = vec![0xde, 0, 65];
    for key in 0..65 {
        many_keys.extend([0xa1, b'0' + key, 1]);
    }
    let long = [vec![0xda, 4, 1], vec![b'x'; 1025]].concat();
    let cases: [(&[u8], &str); 18] = [
        (b"\xc1", "a byte begins no MessagePack value"),
        (b"\xc4\x01a", "binary and extension values are not taken"),
        (b"\xd4\x01a", "binary and extension values are not taken"),
        (
            b"\xd6\xff\x00\x00\x00\x00",
            "binary and extension values are not taken",
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
        (b"\xa2a\x00", "a string holds a NUL character"),
        (b"\xa9abcdefgh\x00", "a string holds a NUL character"),
        (b"\xa1\xff", "text is not valid UTF-8"),
        (b"\xa3\xed\xa0\x80", "text is not valid UTF-8"),
        (b"\x81\x01\x01", "a key is not a string"),
        (b"\x82\xa1a\x01\xa1a\x02", "a key is there twice"),
        (b"\xdd\xff\xff\xff\xff", "the event ends too early"),
        (b"\xdf\x80\x00\x00\x00", "the event ends too early"),
        (&deep, "maps and lists are nested deeper than 32"),
        (&many_keys, "a map has more than 64 keys"),
        (&long, "a string is longer than 1024 bytes"),
    ];
    for (value, words) in cases {
        let refused = refusal(&packed_with(value));
        assert!(
            refused.starts_with(&format!("data: {words}")),
            "{value:.40x?}: {refused}"
        );
    }
}

#[test]
fn message_pack_at_the_limits_is_taken() {
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
fn no_event_at_all_is_told() {
    for bytes in [
        &b""[..],
        b"\x00",
        b"[]",
        b"\"a\"",
        b"\x93\x01",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b" 1",
    ] {
        let refused = refusal(bytes);
        assert_eq!(
            refused, "neither a MessagePack map nor a JSON object",
            "{bytes:x?}"
        );
    }
    assert_eq!(refusal(b"{\"a\":\xff}"), "text is not valid UTF-8 (byte 5)");
    assert_eq!(refusal(b" "), "the event ends too early (byte 1)");
}

#[test]
fn whatever_is_cut_off_is_refused() {
    let event = with_data("payment.completed");
    for bytes in [event.to_string().into_bytes(), message_pack(&event)] {
        for end in 0..bytes.len() {
            refusal(&bytes[..end]);
        }
        let more = [&bytes[..], b"\x7f"].concat();
        assert!(refusal(&more).starts_with("there are bytes after the end of the event"));
    }
    let spaced = format!(" \n{event}\r\n\t ");
    assert!(decode(spaced.as_bytes(), NOW_US).is_ok());
}

#[test]
fn an_event_of_more_than_64_kib_is_refused() {
    let mut event = with_data("form.submitted");
    event["data"]["more"] = vec!["x".repeat(1000); 64].into();
    let bytes = message_pack(&event);
    assert!(bytes.len() < 65536);
    assert!(decode(&bytes, NOW_US).is_ok());
    event["data"]["more"] = vec!["x".repeat(1000); 66].into();
    for bytes in [event.to_string().into_bytes(), message_pack(&event)] {
        assert_eq!(refusal(&bytes), "the event is larger than 64 KiB");
    }
}

#[test]
fn an_attribute_that_is_there_twice_is_named() {
    let event = with_data("form.submitted").to_string();
    let twice = |more: &str| refusal(event.replacen('{', &format!("{{{more},"), 1).as_bytes());
    assert_eq!(
        twice("\"tenantid\":\"other\""),
        "tenantid: a key is there twice"
    );
    assert_eq!(
        twice("\"tenant\\u0069d\":\"other\""),
        "tenantid: a key is there twice"
    );
    assert_eq!(
        twice("\"data\":{\"contact_id\":\"c-2\"}"),
        "data: a key is there twice"
    );
    assert!(twice("\"extra\":1,\"extra\":1").starts_with("a key is there twice"));
    assert!(twice("\"extra\":1,\"e\\u0078tra\":1").starts_with("a key is there twice"));
    let packed = Packed::Map(vec![("id".into(), "a".into()), ("id".into(), "b".into())]);
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, &packed).unwrap();
    assert_eq!(refusal(&bytes), "id: a key is there twice");
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
        assert!(refusal(&bytes).starts_with("a map has more than 64 keys"));
    }
}
