//! Rejected events and the reasons (D4, D9), in both encodings.

mod decode_support;

use decode_support::{NOW_US, envelope, message_pack, with_data};
use goald_matcher::decode::decode;
use rmpv::Value as Packed;
use serde_json::json;

fn rejection(bytes: &[u8]) -> String {
    match decode(bytes, NOW_US) {
        Ok(event) => panic!("accepted: {event:?}"),
        Err(reject) => reject.to_string(),
    }
}

#[test]
fn values_of_an_enrollment_are_few_ids_with_short_names() {
    let five: Vec<String> = (0..5).map(|number| format!("n{number}")).collect();
    let five: serde_json::Map<_, _> = five.into_iter().map(|name| (name, json!("v"))).collect();
    let long = "n".repeat(65);
    let names =
        "data.match: not a map of at most 4 names, of 1 to 64 letters, digits, _ and -, to ids";
    for (values, reason) in [
        (json!(five), names),
        (json!({long: "v"}), names),
        (json!({"": "v"}), names),
        (json!({"cart.id": "v"}), names),
        (json!(["cart_id"]), "data.match: not a map"),
        (json!("cart_id"), "data.match: not a map"),
        (
            json!({"cart_id": true}),
            "data.match: neither a string nor an integer",
        ),
        (
            json!({"cart_id": 1.5}),
            "data.match: neither a string nor an integer",
        ),
        (
            json!({"cart_id": ""}),
            "data.match: must have 1 to 256 characters, at most 768 bytes, without control or invisible characters",
        ),
    ] {
        let mut event = with_data("workflow.enrollment.started");
        event["data"]["match"] = values;
        assert_eq!(rejection(event.to_string().as_bytes()), reason);
        assert_eq!(rejection(&message_pack(&event)), reason);
    }
    let twice = with_data("workflow.enrollment.started").to_string();
    let twice = twice.replacen(r#""data":{"#, r#""data":{"match":{"a":"1","a":"1"},"#, 1);
    assert_eq!(rejection(twice.as_bytes()), "data.match: duplicate key");
}

#[test]
fn attributes_are_checked_in_both_encodings() {
    let long = "x".repeat(257);
    let cases = [
        ("id", json!(null), "id: required but missing"),
        ("id", json!(""), "id: must not be empty"),
        ("id", json!(5.5), "id: neither a string nor an integer"),
        ("source", json!(null), "source: required but missing"),
        (
            "source",
            json!([]),
            "source: neither a string nor an integer",
        ),
        ("type", json!(""), "type: must not be empty"),
        ("type", json!({}), "type: not a string"),
        ("time", json!(null), "time: required but missing"),
        (
            "time",
            json!(99_999_999),
            "time: not an RFC 3339 time with an offset",
        ),
        (
            "time",
            json!([]),
            "time: not an RFC 3339 time with an offset",
        ),
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
            "time: more than 24 h in the future",
        ),
        ("tenantid", json!(null), "tenantid: required but missing"),
        (
            "tenantid",
            json!(1.5),
            "tenantid: neither a string nor an integer",
        ),
        (
            "tenantid",
            json!(""),
            "tenantid: must have 1 to 256 characters, at most 768 bytes, without control or invisible characters",
        ),
        (
            "tenantid",
            json!(long),
            "tenantid: must have 1 to 256 characters, at most 768 bytes, without control or invisible characters",
        ),
        (
            "tenantid",
            json!("a\u{7f}"),
            "tenantid: must have 1 to 256 characters, at most 768 bytes, without control or invisible characters",
        ),
        ("data", json!(null), "data: required but missing"),
        ("data", json!([1]), "data: not a map"),
        ("data", json!("{}"), "data: not a map"),
        ("data", json!({}), "data.contact_id: required but missing"),
        (
            "data",
            json!({"contact_id": null}),
            "data.contact_id: required but missing",
        ),
        (
            "data",
            json!({"contact_id": 7.5}),
            "data.contact_id: neither a string nor an integer",
        ),
        (
            "data",
            json!({"contact_id": "a\nb"}),
            "data.contact_id: must have 1 to 256 characters, at most 768 bytes, without control or invisible characters",
        ),
        (
            "data",
            json!({"contact_id": "erased:c-1"}),
            "data.contact_id: must not start with erased:, which is reserved for deleted contacts",
        ),
        (
            "specversion",
            json!("0.3"),
            "specversion: unsupported version, must be 1.0",
        ),
        ("specversion", json!(1.0), "specversion: not a string"),
        ("traceparent", json!(0), "traceparent: not a string"),
        (
            "traceparent",
            json!(long),
            "traceparent: longer than 128 characters",
        ),
    ];
    for (attribute, value, message) in cases {
        let mut event = envelope("form.submitted", json!({"contact_id": "c-1"}));
        event[attribute] = value.clone();
        assert_eq!(
            rejection(event.to_string().as_bytes()),
            message,
            "JSON {attribute} {value}"
        );
        assert_eq!(
            rejection(&message_pack(&event)),
            message,
            "MessagePack {attribute} {value}"
        );
    }
}

#[test]
fn a_missing_attribute_is_named() {
    for attribute in ["id", "source", "type", "time", "tenantid", "data"] {
        let mut event = envelope("form.submitted", json!({"contact_id": "c-1"}));
        event.as_object_mut().unwrap().remove(attribute);
        let message = format!("{attribute}: required but missing");
        assert_eq!(rejection(event.to_string().as_bytes()), message);
        assert_eq!(rejection(&message_pack(&event)), message);
    }
}

#[test]
fn the_fields_of_a_type_are_checked() {
    const NOT_AN_ID: &str =
        "must have 1 to 256 characters, at most 768 bytes, without control or invisible characters";
    const NOT_A_COUNT: &str = "not an integer from 0 to 1000000";
    const NOT_AN_AMOUNT: &str = "not a decimal number of at most 18 digits";
    let cases = [
        (
            "contact.tag.added",
            "tag_id",
            json!(1.5),
            "neither a string nor an integer",
        ),
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
        (
            "payment.refunded",
            "payment_id",
            json!([1]),
            "neither a string nor an integer",
        ),
        (
            "appointment.booked",
            "status",
            json!(["cancelled"]),
            "not a string",
        ),
        (
            "appointment.cancelled",
            "appointment_id",
            json!({}),
            "neither a string nor an integer",
        ),
        (
            "payment.completed",
            "product_id",
            json!(true),
            "neither a string nor an integer",
        ),
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
            "neither a string nor an integer",
        ),
        ("appointment.booked", "service_id", json!(""), NOT_AN_ID),
        (
            "form.submitted",
            "form_id",
            json!(1e3),
            "neither a string nor an integer",
        ),
        (
            "pipeline.stage.changed",
            "pipeline_id",
            json!({}),
            "neither a string nor an integer",
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
            "required but missing",
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
            "not an RFC 3339 time with an offset",
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
            "more than 24 h in the future",
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
            json!(5.5),
            "neither a string nor an integer",
        ),
        (
            "workflow.enrollment.ended",
            "reason",
            json!("bored"),
            "not one of completed, exited, cancelled",
        ),
        (
            "workflow.enrollment.ended",
            "reason",
            json!(null),
            "required but missing",
        ),
        (
            "workflow.exit.acknowledged",
            "cancelled_actions",
            json!(-5),
            NOT_A_COUNT,
        ),
    ];
    for (name, field, value, message) in cases {
        let mut event = with_data(name);
        event["data"][field] = value;
        let message = format!("data.{field}: {message}");
        assert_eq!(
            rejection(event.to_string().as_bytes()),
            message,
            "JSON {event}"
        );
        assert_eq!(
            rejection(&message_pack(&event)),
            message,
            "MessagePack {event}"
        );
    }
}

#[test]
fn the_products_and_amounts_of_line_items_are_checked() {
    for (item, message) in [
        (
            json!({"product_id": 5.5}),
            "data.line_items[].product_id: neither a string nor an integer",
        ),
        (
            json!({"product_id": ""}),
            "data.line_items[].product_id: must have 1 to 256 characters, at most 768 bytes, without control or invisible characters",
        ),
        (
            json!({"product_id": "p", "amount": "19,90"}),
            "data.line_items[].amount: not a decimal number of at most 18 digits",
        ),
        (
            json!({"amount": {"value": "19.90"}}),
            "data.line_items[].amount: not a decimal number of at most 18 digits",
        ),
    ] {
        let mut event = with_data("payment.completed");
        event["data"]["line_items"] = json!([null, {}, {"product_id": null}, item]);
        assert_eq!(rejection(event.to_string().as_bytes()), message);
        assert_eq!(rejection(&message_pack(&event)), message);
    }
}

#[test]
fn bytes_that_are_not_an_event_are_rejected() {
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
        let message = rejection(bytes);
        assert_eq!(
            message, "neither a MessagePack map nor a JSON object",
            "{bytes:x?}"
        );
    }
    assert_eq!(
        rejection(b"{\"a\":\xff}"),
        "text is not valid UTF-8 (byte 5)"
    );
    assert_eq!(rejection(b" "), "unexpected end of the event (byte 1)");
}

#[test]
fn a_truncated_event_is_rejected() {
    let event = with_data("payment.completed");
    for bytes in [event.to_string().into_bytes(), message_pack(&event)] {
        for end in 0..bytes.len() {
            rejection(&bytes[..end]);
        }
        let more = [&bytes[..], b"\x7f"].concat();
        assert!(rejection(&more).starts_with("trailing bytes after the event"));
    }
    let spaced = format!(" \n{event}\r\n\t ");
    assert!(decode(spaced.as_bytes(), NOW_US).is_ok());
}

#[test]
fn a_duplicate_attribute_is_named() {
    let event = with_data("form.submitted").to_string();
    let with = |more: &str| rejection(event.replacen('{', &format!("{{{more},"), 1).as_bytes());
    assert_eq!(with("\"tenantid\":\"other\""), "tenantid: duplicate key");
    assert_eq!(
        with("\"tenant\\u0069d\":\"other\""),
        "tenantid: duplicate key"
    );
    assert_eq!(
        with("\"data\":{\"contact_id\":\"c-2\"}"),
        "data: duplicate key"
    );
    let packed = Packed::Map(vec![("id".into(), "a".into()), ("id".into(), "b".into())]);
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, &packed).unwrap();
    assert_eq!(rejection(&bytes), "id: duplicate key");
}
