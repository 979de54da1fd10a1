//! The fields of each event type, in both encodings (docs/asyncapi.yaml).

mod decode_support;

use std::borrow::Cow;

use decode_support::{NOW_US, message_pack, with_data};
use goald_matcher::decode::decode;
use goald_matcher::event::amount::Amount;
use goald_matcher::event::{AppointmentStatus, EndReason, Fact, LineItem, MatchValues};
use goald_matcher::route::routing_key;
use serde_json::{Value, json};

fn facts(event: &Value) -> [Fact<'static>; 2] {
    [event.to_string().into_bytes(), message_pack(event)].map(|bytes| {
        let bytes: &'static [u8] = bytes.leak();
        decode(bytes, NOW_US).unwrap().fact
    })
}

fn assert_fact(event: &Value, expected: &Fact<'static>) {
    for fact in facts(event) {
        assert_eq!(fact, *expected, "{event}");
    }
}

fn text(value: &'static str) -> Cow<'static, str> {
    Cow::Borrowed(value)
}

fn line_item(product: &'static str, amount: Option<&str>) -> LineItem<'static> {
    LineItem {
        product_id: text(product),
        amount: amount.and_then(Amount::parse),
    }
}

#[test]
fn the_fields_of_each_type_are_read() {
    assert_fact(
        &with_data("contact.tag.added"),
        &Fact::TagAdded {
            tag_id: Some(text("tag-1")),
            tag_name: Some(text("Customer")),
            tags: Vec::new(),
        },
    );
    assert_fact(
        &with_data("payment.completed"),
        &Fact::PaymentCompleted {
            amount: Amount::parse("19.9"),
            currency: Some(text("EUR")),
            product_id: Some(text("p-1")),
            line_items: vec![line_item("p-2", None), line_item("p-3", Some("5.00"))],
        },
    );
    assert_fact(
        &with_data("appointment.booked"),
        &Fact::AppointmentBooked {
            calendar_id: Some(text("cal-1")),
            service_id: Some(text("svc-1")),
            status: AppointmentStatus::Confirmed,
        },
    );
    assert_fact(
        &with_data("payment.refunded"),
        &Fact::PaymentRefunded {
            payment_id: Some(text("pay-1")),
        },
    );
    assert_fact(
        &with_data("appointment.cancelled"),
        &Fact::AppointmentCancelled {
            appointment_id: Some(text("app-1")),
        },
    );
    assert_fact(
        &with_data("form.submitted"),
        &Fact::FormSubmitted {
            form_id: Some(text("form-123")),
        },
    );
    assert_fact(
        &with_data("pipeline.stage.changed"),
        &Fact::StageChanged {
            pipeline_id: Some(text("pipe-1")),
            stage_id: Some(text("stage-1")),
        },
    );
    assert_fact(
        &with_data("workflow.enrollment.started"),
        &Fact::EnrollmentStarted {
            workflow_id: text("w-1"),
            enrollment_id: text("e-1"),
            enrolled_at_us: Some(NOW_US - 5_400_000_000),
            pending_actions: Some(3),
            started_by: None,
            match_values: None,
        },
    );
    assert_fact(
        &with_data("workflow.exit.acknowledged"),
        &Fact::ExitAcknowledged {
            workflow_id: text("w-1"),
            enrollment_id: text("e-1"),
            cancelled_actions: Some(2),
        },
    );
    assert_fact(&with_data("contact.deleted"), &Fact::ContactDeleted);
    assert_fact(&with_data("contact.created"), &Fact::Other);
}

#[test]
fn each_end_reason_is_read() {
    for (name, reason) in [
        ("completed", EndReason::Completed),
        ("exited", EndReason::Exited),
        ("cancelled", EndReason::Cancelled),
    ] {
        let mut event = with_data("workflow.enrollment.ended");
        event["data"]["reason"] = json!(name);
        let (workflow_id, enrollment_id) = (text("w-1"), text("e-1"));
        assert_fact(
            &event,
            &Fact::EnrollmentEnded {
                workflow_id,
                enrollment_id,
                reason,
            },
        );
    }
}

#[test]
fn null_is_the_same_as_absent() {
    let mut event = with_data("payment.completed");
    for field in ["amount", "currency", "product_id", "line_items"] {
        event["data"][field] = json!(null);
    }
    for attribute in ["specversion", "traceparent"] {
        event[attribute] = json!(null);
    }
    let nothing = Fact::PaymentCompleted {
        amount: None,
        currency: None,
        product_id: None,
        line_items: Vec::new(),
    };
    assert_fact(&event, &nothing);
    event["data"] = json!({"contact_id": "c-1"});
    assert_fact(&event, &nothing);

    let mut event = with_data("workflow.enrollment.started");
    event["data"]["enrolled_at"] = json!(null);
    event["data"]["pending_actions"] = json!(null);
    let nothing = Fact::EnrollmentStarted {
        workflow_id: text("w-1"),
        enrollment_id: text("e-1"),
        enrolled_at_us: None,
        pending_actions: None,
        started_by: None,
        match_values: None,
    };
    assert_fact(&event, &nothing);
}

#[test]
fn the_values_of_an_enrollment_are_read() {
    let mut event = with_data("workflow.enrollment.started");
    event["data"]["match"] = json!({"order": 7, "cart_id": "c-1", "none": null});
    let pairs = [("cart_id", "c-1"), ("order", "7")];
    let pairs = pairs.map(|(name, value)| (name.into(), value.into()));
    for fact in facts(&event) {
        let Fact::EnrollmentStarted { match_values, .. } = fact else {
            panic!("{event}");
        };
        assert_eq!(match_values, MatchValues::new(pairs.clone()));
    }
    for nothing in [json!(null), json!({}), json!({"cart_id": null})] {
        event["data"]["match"] = nothing;
        for fact in facts(&event) {
            let match_values = None;
            assert!(
                matches!(fact, Fact::EnrollmentStarted { match_values: of, .. } if of == match_values)
            );
        }
    }
}

#[test]
fn the_status_of_an_appointment_is_read_in_every_spelling() {
    use AppointmentStatus::{Booked, Confirmed, Lost, Other, Showed};
    for (status, expected) in [
        (json!(null), Booked),
        (json!("BOOKED"), Booked),
        (json!("Confirmed"), Confirmed),
        (json!("showed"), Showed),
        (json!("cancelled"), Lost),
        (json!("CANCELED"), Lost),
        (json!("no-show"), Lost),
        (json!("No Show"), Lost),
        (json!("no_show"), Lost),
        (json!("noshow"), Lost),
        (json!("rescheduled"), Lost),
        (json!("rescheduled-away"), Lost),
        (json!(""), Other),
        (json!("pending"), Other),
        (json!("a status that is longer than any"), Other),
    ] {
        let mut event = with_data("appointment.booked");
        event["data"]["status"] = status;
        for fact in facts(&event) {
            let Fact::AppointmentBooked { status, .. } = fact else {
                panic!("{event} must be read as an appointment");
            };
            assert_eq!(status, expected, "{event}");
        }
    }
}

#[test]
fn a_field_that_the_type_does_not_use_can_have_any_value() {
    let mut event = with_data("form.submitted");
    for field in [
        "tag_id",
        "amount",
        "reason",
        "pending_actions",
        "line_items",
        "submission_id",
    ] {
        event["data"][field] = json!([{"any": [1, -2.5, true, null, u64::MAX]}]);
    }
    assert_fact(
        &event,
        &Fact::FormSubmitted {
            form_id: Some(text("form-123")),
        },
    );
}

#[test]
fn amounts_are_exact_in_every_form() {
    for (sent, exact) in [
        (json!("0.1"), "0.1"),
        (json!("-0.10"), "-0.1"),
        (json!("999999999999999999"), "999999999999999999"),
        (json!(100), "100"),
        (json!(-3), "-3"),
        (json!(200), "200"),
        (json!(70_000), "70000"),
        (json!(5_000_000_000_u64), "5000000000"),
        (json!(-200), "-200"),
        (json!(-70_000), "-70000"),
        (json!(-5_000_000_000_i64), "-5000000000"),
        (json!(0.1), "0.1"),
        (json!(19.99), "19.99"),
        (json!(0.1 + 0.2), "0.3"),
        (json!(2.00005), "2"),
        (json!(1e17), "100000000000000000"),
        (json!(1e-7), "0"),
    ] {
        let mut event = with_data("payment.completed");
        event["data"]["amount"] = sent;
        for fact in facts(&event) {
            let Fact::PaymentCompleted { amount, .. } = fact else {
                panic!("{fact:?}")
            };
            assert_eq!(amount, Amount::parse(exact), "{event}");
        }
    }
}

#[test]
fn attributes_are_unchanged() {
    let mut event = with_data("contact.deleted");
    event["traceparent"] = json!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    event["subject"] = json!({"an": "extension"});
    for bytes in [event.to_string().into_bytes(), message_pack(&event)] {
        let event = decode(&bytes, NOW_US).unwrap();
        assert_eq!(event.id, "evt-1");
        assert_eq!(event.source, "/crm");
        assert_eq!(event.name, "contact.deleted");
        assert_eq!(event.tenant, "acme");
        assert_eq!(event.contact, "c-1");
        assert_eq!(event.time, "2026-11-20T13:00:00.25Z");
        assert_eq!(event.time_us, NOW_US - 1_799_750_000);
        assert_eq!(
            event.traceparent.as_deref(),
            Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        );
        assert!(matches!(event.id, Cow::Borrowed(_)));
    }
}

#[test]
fn escapes_are_replaced_by_their_characters() {
    let text = r#" { "tenant\u0069d" : "ac\u006de", "id":"\"\\\/\b\f\n\r\t", "source":"\ud83d\ude00",
        "type":"\u0063ontact.tag.added", "time":"2026-11-20T13:00:00\u005a",
        "d\u0061ta" : { "contact\u005fid":"\u00e9", "tag_n\u0061me" : "\u20ac" } } "#;
    let event = decode(text.as_bytes(), NOW_US).unwrap();
    assert_eq!(event.tenant, "acme");
    assert_eq!(event.id, "\"\\/\u{8}\u{c}\n\r\t");
    assert_eq!(event.source, "\u{1f600}");
    assert_eq!(event.contact, "é");
    assert_eq!(
        event.fact,
        Fact::TagAdded {
            tag_id: None,
            tag_name: Some(text_owned("€")),
            tags: Vec::new(),
        }
    );
    let key = routing_key(text.as_bytes()).unwrap();
    assert_eq!(key, (event.tenant, event.contact));
}

fn text_owned(value: &str) -> Cow<'static, str> {
    Cow::Owned(value.to_owned())
}

#[test]
fn data_as_json_is_compact_and_has_the_same_values() {
    let text = r#"{"id":"e","source":"s","type":"t","time":"2026-11-20T13:00:00Z","tenantid":"a",
        "data" : { "contact_id" : "c" , "a" : [ 1 , -0.50 , 1E+2 , { } , [ ] ] , "\n\"" : "\u00e9" } }"#;
    let event = decode(text.as_bytes(), NOW_US).unwrap();
    assert_eq!(
        event.data.to_json(),
        r#"{"contact_id":"c","a":[1,-0.50,1E+2,{},[]],"\n\"":"é"}"#,
    );
}

#[test]
fn message_pack_data_as_json_is_escaped() {
    let mut event = with_data("contact.deleted");
    event["data"] = json!({
        "contact_id": "c", "k\"": "a\\b\n\r\t\u{1}\u{1f}é", "n": [0.5, -7, 1e300, u64::MAX, true],
    });
    let bytes = message_pack(&event);
    let stored = decode(&bytes, NOW_US).unwrap().data.to_json();
    assert!(stored.contains(r#"a\\b\n\r\t\u0001\u001fé"#), "{stored}");
    assert_eq!(
        serde_json::from_str::<Value>(&stored).unwrap(),
        event["data"]
    );
}

#[test]
fn invalid_data_becomes_null() {
    use goald_matcher::event::RawData;
    let deep = [vec![0x91; 100], vec![1]].concat();
    let large = vec![b' '; 70_000];
    for data in [
        RawData::Json(b"{"),
        RawData::Json(b"\xff"),
        RawData::Json(b"{} {}"),
        RawData::Json(&large),
        RawData::MessagePack(b""),
        RawData::MessagePack(&deep),
        RawData::MessagePack(&large),
    ] {
        assert_eq!(data.to_json(), "null");
    }
}
