//! Properties of every event: nothing panics, JSON and MessagePack decode to the same event, and
//! the router finds the ids that the decoder reads.

mod decode_support;

use decode_support::{NOW_US, envelope, message_pack, to_rmpv, with_data};
use goald_matcher::decode::decode;
use goald_matcher::event::Event;
use goald_matcher::route::routing_key;
use proptest::prelude::*;
use rmpv::Value as Packed;
use serde_json::{Map, Value, json};

const TYPES: [&str; 10] = [
    "contact.tag.added",
    "payment.completed",
    "appointment.booked",
    "form.submitted",
    "pipeline.stage.changed",
    "workflow.enrollment.started",
    "workflow.enrollment.ended",
    "workflow.exit.acknowledged",
    "contact.deleted",
    "something.else",
];

/// Decodes the bytes. Compares an accepted event with the router and with another JSON parser.
fn check(bytes: &[u8]) -> Option<Event<'_>> {
    let key = routing_key(bytes);
    let event = decode(bytes, NOW_US).ok()?;
    assert_eq!(key, Ok((event.tenant.clone(), event.contact.clone())));
    let data: Value = serde_json::from_str(&event.data.to_json()).unwrap();
    assert_eq!(data["contact_id"], *event.contact);
    Some(event)
}

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("finite", |value| value.is_finite())
            .prop_map(Value::from),
        "[^\\x00]{0,20}".prop_map(Value::from),
    ];
    scalar.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec(("[^\\x00]{0,12}", inner), 0..6)
                .prop_map(|members| members.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

prop_compose! {
    /// A valid event with additional attributes and fields.
    fn event()(
        name in prop::sample::select(&TYPES),
        tenant in "[^\\p{Cc}\\p{DI}\\x{2028}\\x{2029}\\x{fff9}-\\x{fffb}]{1,128}",
        contact in "[^\\p{Cc}\\p{DI}\\x{2028}\\x{2029}\\x{fff9}-\\x{fffb}]{1,128}",
        more in prop::collection::vec(("[^\\x00]{0,12}", value()), 0..4),
        fields in prop::collection::vec(("[^\\x00]{0,12}", value()), 0..4),
    ) -> Value {
        let mut event = with_data(name);
        event["tenantid"] = tenant.into();
        event["data"]["contact_id"] = contact.into();
        for (key, value) in more {
            event[format!("x-{key}")] = value;
        }
        for (key, value) in fields {
            event["data"][format!("x-{key}")] = value;
        }
        event
    }
}

/// The value with the members of its maps rotated.
fn rotated(value: &Packed, by: usize) -> Packed {
    match value {
        Packed::Map(members) => {
            let mut members: Vec<_> = members
                .iter()
                .map(|(key, value)| (key.clone(), rotated(value, by)))
                .collect();
            let count = members.len().max(1);
            members.rotate_left(by % count);
            Packed::Map(members)
        }
        other => other.clone(),
    }
}

/// The value as JSON with whitespace, and with all characters but letters and digits escaped.
fn escaped(value: &Value) -> String {
    let string = |text: &str| {
        let units = text.encode_utf16().map(|unit| match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            _ => format!("\\u{unit:04X}"),
        });
        format!("\"{}\"", units.collect::<String>())
    };
    match value {
        Value::String(text) => string(text),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(escaped).collect();
            format!("[ {} ]", items.join(" ,\n"))
        }
        Value::Object(members) => {
            let members = members.iter();
            let members: Vec<_> = members
                .map(|(key, value)| format!("{} : {}", string(key), escaped(value)))
                .collect();
            format!("{{\t{} }}", members.join(", "))
        }
        other => other.to_string(),
    }
}

/// Whether two events are equal apart from `data`, whose bytes differ by encoding.
fn is_equal(first: &Event<'_>, second: &Event<'_>) -> bool {
    let mut second = second.clone();
    second.data = first.data;
    *first == second
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&bytes);
        check(&[b"{", &bytes[..]].concat());
        check(&[b"\x87", &bytes[..]].concat());
    }

    #[test]
    fn a_valid_event_decodes_to_the_same_in_both_encodings(event in event(), by in 0_usize..20) {
        let text = event.to_string();
        let with_escapes = escaped(&event);
        let packed = message_pack(&event);
        let mut other_order = Vec::new();
        rmpv::encode::write_value(&mut other_order, &rotated(&to_rmpv(&event), by)).unwrap();
        let json = decode(text.as_bytes(), NOW_US).unwrap();
        for bytes in [text.as_bytes(), with_escapes.as_bytes(), &packed, &other_order] {
            let other = check(bytes).expect("a valid event");
            prop_assert!(is_equal(&json, &other), "{json:?}\n{other:?}");
            let data: Value = serde_json::from_str(&other.data.to_json()).unwrap();
            prop_assert_eq!(&data, &event["data"]);
        }
    }

    #[test]
    fn a_damaged_event_never_panics(
        event in event(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        for mut bytes in [event.to_string().into_bytes(), message_pack(&event)] {
            let place = at.index(bytes.len());
            bytes[place] = byte;
            check(&bytes);
            bytes.remove(cut.index(bytes.len()));
            check(&bytes);
            bytes.truncate(cut.index(bytes.len()));
            check(&bytes);
        }
    }

    #[test]
    fn both_encodings_accept_and_reject_the_same_data(fields in prop::collection::vec(
        (prop::sample::select(vec![
            "contact_id", "tag_id", "amount", "line_items", "form_id", "reason",
            "pending_actions", "enrolled_at", "workflow_id", "other",
        ]), value()),
        0..5,
    ), name in prop::sample::select(&TYPES)) {
        let mut data = json!({"contact_id": "c"});
        for (key, value) in fields {
            data[key] = value;
        }
        let event = envelope(name, data);
        let text = event.to_string();
        let packed = message_pack(&event);
        match (decode(text.as_bytes(), NOW_US), decode(&packed, NOW_US)) {
            (Ok(json), Ok(packed)) => prop_assert!(is_equal(&json, &packed)),
            (Err(json), Err(packed)) => prop_assert_eq!(json.reason(), packed.reason()),
            (json, packed) => prop_assert!(false, "{json:?}\n{packed:?}"),
        }
    }
}
