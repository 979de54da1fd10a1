//! Events in a request body are accepted unchanged, with the caller's tenant, and only if the
//! router and the matcher accept them too.

mod decode_support;

use decode_support::{NOW_US, envelope, with_data};
use goald_matcher::buffer::BufferReader;
use goald_matcher::decode::decode;
use goald_matcher::evaluate::EvaluateOptions;
use goald_matcher::event::limits::{EVENT_BYTES, FORWARDED_BYTES};
use goald_matcher::intake::{Defaults, Intake, Start, intake};
use goald_matcher::matcher::Matcher;
use goald_matcher::route::{Packer, SLOTS};
use proptest::prelude::*;
use serde_json::{Value, json};

fn read(body: &str) -> Intake<'_> {
    intake(body.as_bytes(), "acme", NOW_US, None).unwrap()
}

fn reasons(intake: &Intake<'_>) -> Vec<(usize, Option<String>, String)> {
    let row = |rejected: &goald_matcher::intake::RejectedEvent| {
        let reason = rejected.reject.to_string();
        (rejected.index, rejected.id.clone(), reason)
    };
    intake.rejected.iter().map(row).collect()
}

fn payloads<'a>(intake: &'a Intake<'_>) -> Vec<&'a str> {
    let text = |event: &'a goald_matcher::intake::AcceptedEvent<'_>| {
        std::str::from_utf8(&event.payload).unwrap()
    };
    intake.accepted.iter().map(text).collect()
}

/// Asserts that the router and the matcher accept the accepted events, under the same tenant
/// and contact.
fn check(intake: &Intake<'_>, tenant: &str) {
    let mut packer = Packer::new(&[0; SLOTS], 90_000);
    for (number, accepted) in intake.accepted.iter().enumerate() {
        let event = decode(&accepted.payload, NOW_US).unwrap();
        assert_eq!(
            (&*event.tenant, &*event.contact),
            (tenant, &*accepted.known.contact)
        );
        let id = format!("1-{number}");
        packer.push(id.as_bytes(), &accepted.payload).unwrap();
    }
    let packed = packer.finish();
    let buffers: Vec<&[u8]> = packed.iter().map(|packed| &*packed.bytes).collect();
    let proposal = Matcher::default()
        .evaluate(&buffers, NOW_US, EvaluateOptions::default())
        .unwrap();
    let events: usize = buffers
        .iter()
        .map(|buffer| BufferReader::new(buffer).unwrap().count())
        .sum();
    assert_eq!((events, proposal.events), (intake.accepted.len(), events));
    // Two events of a request may name one enrollment id under two contacts.
    let is_invalid = |rejected: &&goald_matcher::proposal::RejectedEvent| {
        !rejected.reason.contains("another contact")
    };
    assert_eq!(proposal.rejected.iter().filter(is_invalid).count(), 0);
}

#[test]
fn an_event_is_published_unchanged() {
    let body = r#"{"id":"e","source":"s","type":"payment.completed","time":"2026-11-20T13:00:00Z",
        "tenantid":"acme","data":{"contact_id":"c","amount":0.10000000000000000001e1}}"#;
    let found = read(body);
    assert!(!found.is_list);
    assert_eq!(payloads(&found), [body]);
    check(&found, "acme");
}

#[test]
fn attributes_that_only_goald_sets_are_refused() {
    let event = |attribute: &str| {
        let mut event = with_data("contact.tag.added");
        event["tenantid"] = "acme".into();
        event[attribute] = 3.into();
        event.to_string()
    };
    let reason = "the attribute hops, and attributes that start with goald, are reserved for goald";
    for body in [
        event("hops"),
        event("goald"),
        event("goaldgate"),
        event("hops").replace("hops", "\\u0068ops"),
    ] {
        let found = read(&body);
        assert!(found.accepted.is_empty(), "{body}");
        assert_eq!(found.rejected[0].reject.to_string(), reason);
    }
    // Members of `data` are the producer's.
    let body = event("hop").replace(r#""data":{"#, r#""data":{"hops":1,"goald":2,"#);
    check(&read(&body), "acme");
    assert_eq!(read(&body).accepted.len(), 1);
}

#[test]
fn an_event_without_a_tenant_gets_the_callers() {
    let body = r#" {"id":"e","source":"s","type":"contact.deleted","time":"2026-11-20T13:00:00Z",
        "data":{"contact_id":"c"}} "#;
    for (tenant, written) in [("acme", r#""acme""#), (r#"a"\é"#, r#""a\"\\é""#)] {
        let found = intake(body.as_bytes(), tenant, NOW_US, None).unwrap();
        let expected = format!("{{\"tenantid\":{written},{}", &body.trim()[1..]);
        assert_eq!(payloads(&found), [expected]);
        check(&found, tenant);
    }
}

/// Reads a body whose events may omit attributes.
fn completed(body: &str) -> Intake<'_> {
    let defaults = Defaults {
        source: "shop",
        id: "d-1",
    };
    intake(body.as_bytes(), "acme", NOW_US, Some(defaults)).unwrap()
}

#[test]
fn an_event_gets_the_attributes_that_it_omits() {
    let whole = envelope("form.submitted", json!({"contact_id": "c", "form_id": "f"}));
    for omitted in [
        &["id"][..],
        &["source"],
        &["time"],
        &["id", "source", "time", "tenantid"],
    ] {
        let mut event = whole.clone();
        for name in omitted {
            event.as_object_mut().unwrap().remove(*name);
        }
        assert!(!reasons(&read(&event.to_string())).is_empty() || *omitted == ["tenantid"]);
        let (single, list) = (event.to_string(), json!([event, event]).to_string());
        let (single, list) = (completed(&single), completed(&list));
        check(&single, "acme");
        check(&list, "acme");
        let attributes = |payload: &str| {
            let event: Value = serde_json::from_str(payload).unwrap();
            ["id", "source", "time"].map(|name| event[name].as_str().unwrap().to_owned())
        };
        for (payload, id) in payloads(&single)
            .into_iter()
            .chain(payloads(&list))
            .zip(["d-1", "d-1:0", "d-1:1"])
        {
            let expected = [
                ("id", id),
                ("source", "shop"),
                ("time", "2026-11-20T13:30:00.000000Z"),
            ]
            .map(|(name, default)| match omitted.contains(&name) {
                true => default.to_owned(),
                false => whole[name].as_str().unwrap().to_owned(),
            });
            assert_eq!(attributes(payload), expected);
        }
    }
}

#[test]
fn an_attribute_that_is_null_is_missing_and_other_errors_are_those_of_the_event() {
    for (change, message) in [
        (json!({"id": null}), "id: required but missing"),
        (json!({"source": null}), "source: required but missing"),
        (json!({"time": null}), "time: required but missing"),
        (json!({"type": null}), "type: required but missing"),
        (json!({"data": null}), "data: required but missing"),
        (
            json!({"time": "yesterday"}),
            "time: not an RFC 3339 time with an offset",
        ),
    ] {
        let mut event = envelope("form.submitted", json!({"contact_id": "c"}));
        event.as_object_mut().unwrap().remove("id");
        event
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        assert_eq!(reasons(&completed(&event.to_string()))[0].2, message);
    }
    let twice = r#"{"type":"a","type":"a","data":{"contact_id":"c"}}"#;
    assert_eq!(reasons(&completed(twice))[0].2, "type: duplicate key");
}

#[test]
fn the_start_of_an_enrollment_is_known() {
    let started = json!({
        "type": "workflow.enrollment.started", "time": 1_795_176_000,
        "data": {"contact_id": "c", "workflow_id": 7, "enrollment_id": "e"},
    });
    let found = completed(started.to_string().leak());
    let known = &found.accepted[0].known;
    assert_eq!(
        known.start,
        Some(Start {
            enrollment_id: "e".into(),
            workflow_id: "7".into(),
            enrolled_at_us: 1_795_176_000_000_000,
        })
    );
    assert_eq!(
        (&*known.id, &*known.source, &*known.name),
        ("d-1", "shop", "workflow.enrollment.started")
    );
}

#[test]
fn an_event_of_another_tenant_is_rejected_and_the_others_are_accepted() {
    let event = |id: &str, tenant: Value| {
        let mut event = envelope("form.submitted", json!({"contact_id": "c", "form_id": "f"}));
        event["id"] = json!(id);
        event["tenantid"] = tenant;
        event
    };
    let body = json!([
        event("a", json!("acme")),
        event("b", json!("other")),
        event("c", json!(null)),
        event("d", json!(7)),
        event("e", json!("acme")),
    ])
    .to_string();
    let found = read(&body);
    assert!(found.is_list);
    let accepted: Vec<usize> = found.accepted.iter().map(|event| event.index).collect();
    assert_eq!(accepted, [0, 4]);
    let id = |id: &str| Some(id.to_owned());
    assert_eq!(
        reasons(&found),
        [
            (1, id("b"), "tenantid: not the caller's tenant".into()),
            (2, id("c"), "tenantid: required but missing".into()),
            (3, id("d"), "tenantid: not the caller's tenant".into()),
        ]
    );
    assert_eq!(found.of_other_tenants(), [1, 3]);
}

#[test]
fn an_invalid_event_is_rejected_with_the_reason_of_the_decoder() {
    let large = with_data("form.submitted")
        .to_string()
        .replace("form-123", &"x".repeat(FORWARDED_BYTES));
    let nan = with_data("form.submitted")
        .to_string()
        .replace("\"form-123\"", "NaN");
    let good = with_data("form.submitted").to_string();
    for bad in [
        "{}",
        "{\"id\":",
        "{\"id\":\"i\",\"id\":\"j\"}",
        &large,
        &nan,
        &good.replace("form-123", "a\u{1}b"),
        &good.replace("evt-1", ""),
        &good.replace("2026", "2027"),
        &format!("{good}]"),
        &format!("{good} {good}"),
    ] {
        let expected = decode(bad.as_bytes(), NOW_US).unwrap_err();
        assert_eq!(reasons(&read(bad))[0].2, expected.to_string(), "{bad:.60}");
    }
    for other in ["3", "null", "\"text\"", "[]"] {
        let body = format!("[{good}, {other}, {nan}]");
        let found = read(&body);
        assert_eq!(payloads(&found), [good.as_str()]);
        assert!(reasons(&found)[0].2.contains("JSON object"), "{other}");
    }
}

#[test]
fn the_inserted_tenant_counts_towards_the_limits() {
    let mut event = with_data("form.submitted");
    event.as_object_mut().unwrap().remove("tenantid");
    let room = EVENT_BYTES - event.to_string().len() - "\"tenantid\":\"acme\",".len();
    let filled = |room: usize| {
        event
            .to_string()
            .replacen('{', &format!("{{{}", " ".repeat(room)), 1)
    };
    let (just, over) = (filled(room), filled(room + 1));
    assert_eq!(read(&just).accepted[0].payload.len(), EVENT_BYTES);
    assert!(reasons(&read(&over))[0].2.contains("256 KiB"));
}

/// Mostly valid events as text, some without a tenant, some damaged.
fn event() -> impl Strategy<Value = String> {
    let types = prop::sample::select(vec![
        "contact.tag.added",
        "payment.completed",
        "workflow.enrollment.started",
        "contact.deleted",
        "something.else",
    ]);
    let damage = (any::<prop::sample::Index>(), any::<char>());
    (
        types,
        "[^\\p{Cc}]{1,20}",
        prop::option::of(prop_oneof![Just("acme"), Just("other")]),
        prop::option::weighted(0.3, damage),
    )
        .prop_map(|(name, contact, tenant, damage)| {
            let mut event = with_data(name);
            event["data"]["contact_id"] = contact.into();
            match tenant {
                Some(tenant) => event["tenantid"] = tenant.into(),
                None => {
                    event.as_object_mut().unwrap().remove("tenantid");
                }
            }
            let mut text: Vec<char> = event.to_string().chars().collect();
            if let Some((at, character)) = damage {
                let at = at.index(text.len());
                text[at] = character;
            }
            text.into_iter().collect()
        })
}

proptest! {
    #[test]
    fn accepted_events_are_not_rejected_later(events in prop::collection::vec(event(), 1..6)) {
        let body = format!("[{}]", events.join(", "));
        if let Ok(found) = intake(body.as_bytes(), "acme", NOW_US, None) {
            check(&found, "acme");
            // A damaged bracket or quote may merge events; otherwise none is lost.
            prop_assert!(found.accepted.len() + found.rejected.len() <= 2 * events.len());
        }
        for event in &events {
            let found = read_any(event.as_bytes());
            if let Some(found) = found {
                prop_assert_eq!(found.accepted.len() + found.rejected.len(), 1);
                check(&found, "acme");
            }
        }
    }

    #[test]
    fn arbitrary_bodies_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_any(&bytes);
        read_any(&[b"[", &bytes[..]].concat());
        read_any(&[b"[{\"a\":\"", &bytes[..], b"\"}]"].concat());
    }

    #[test]
    fn brackets_and_quotes_in_any_order_never_panic(text in "[\\[\\]{}\",\\\\: a1]{0,60}") {
        for body in [text.clone(), format!("[{text}]"), format!("{{{text}}}")] {
            if let Some(found) = read_any(body.as_bytes()) {
                check(&found, "acme");
            }
        }
    }
}

fn read_any(body: &[u8]) -> Option<Intake<'_>> {
    intake(body, "acme", NOW_US, None).ok()
}
