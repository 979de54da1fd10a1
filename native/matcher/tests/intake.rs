//! What is taken from a request's body: the bytes as they came, with the caller's tenant, and
//! nothing that the router or the engine would refuse.

mod decode_support;

use decode_support::{NOW_US, envelope, with_data};
use goald_matcher::buffer::BufferReader;
use goald_matcher::decode::decode;
use goald_matcher::engine::Engine;
use goald_matcher::intake::{Intake, intake};
use goald_matcher::limits::EVENT_BYTES;
use goald_matcher::route::{Packer, SLOTS};
use proptest::prelude::*;
use serde_json::{Value, json};

fn read(body: &str) -> Intake<'_> {
    intake(body.as_bytes(), "acme", NOW_US).unwrap()
}

fn reasons(intake: &Intake<'_>) -> Vec<(usize, Option<String>, String)> {
    let row = |refused: &goald_matcher::intake::Refused| {
        let reason = refused.reject.to_string();
        (refused.index, refused.id.clone(), reason)
    };
    intake.refused.iter().map(row).collect()
}

fn payloads<'a>(intake: &'a Intake<'_>) -> Vec<&'a str> {
    let text =
        |taken: &'a goald_matcher::intake::Taken<'_>| std::str::from_utf8(&taken.payload).unwrap();
    intake.taken.iter().map(text).collect()
}

/// What is taken goes through the router and the engine, under the tenant and contact that
/// were told.
fn check(intake: &Intake<'_>, tenant: &str) {
    let mut packer = Packer::new(&[0; SLOTS], 90_000);
    for (number, taken) in intake.taken.iter().enumerate() {
        let event = decode(&taken.payload, NOW_US).unwrap();
        assert_eq!((&*event.tenant, &*event.contact), (tenant, &*taken.contact));
        let id = format!("1-{number}");
        packer.push(id.as_bytes(), &taken.payload).unwrap();
    }
    let packed = packer.finish();
    let buffers: Vec<&[u8]> = packed.iter().map(|packed| &*packed.bytes).collect();
    let proposal = Engine::new(0).evaluate(&buffers, NOW_US).unwrap();
    let events: usize = buffers
        .iter()
        .map(|buffer| BufferReader::new(buffer).unwrap().count())
        .sum();
    assert_eq!((events, proposal.events), (intake.taken.len(), events));
    // An enrollment id may stand in two events with two contacts: the same request, two facts.
    let of_engine = |refused: &&goald_matcher::proposal::Refused| {
        !refused.reason.contains("under another contact")
    };
    assert_eq!(proposal.refused.iter().filter(of_engine).count(), 0);
}

#[test]
fn an_event_is_published_as_it_came() {
    let body = r#"{"id":"e","source":"s","type":"payment.completed","time":"2026-11-20T13:00:00Z",
        "tenantid":"acme","data":{"contact_id":"c","amount":0.10000000000000000001e1}}"#;
    let found = read(body);
    assert!(!found.is_list);
    assert_eq!(payloads(&found), [body]);
    check(&found, "acme");
}

#[test]
fn an_event_without_a_tenant_gets_the_callers() {
    let body = r#" {"id":"e","source":"s","type":"contact.deleted","time":"2026-11-20T13:00:00Z",
        "data":{"contact_id":"c"}} "#;
    for (tenant, written) in [("acme", r#""acme""#), (r#"a"\é"#, r#""a\"\\é""#)] {
        let found = intake(body.as_bytes(), tenant, NOW_US).unwrap();
        let expected = format!("{{\"tenantid\":{written},{}", &body.trim()[1..]);
        assert_eq!(payloads(&found), [expected]);
        check(&found, tenant);
    }
}

#[test]
fn one_that_names_another_tenant_is_refused_and_the_rest_is_taken() {
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
    let taken: Vec<usize> = found.taken.iter().map(|taken| taken.index).collect();
    assert_eq!(taken, [0, 4]);
    let id = |id: &str| Some(id.to_owned());
    assert_eq!(
        reasons(&found),
        [
            (
                1,
                id("b"),
                "tenantid: another tenant than the caller's".into()
            ),
            (2, id("c"), "tenantid: required, but absent".into()),
            (3, id("d"), "tenantid: not a string".into()),
        ]
    );
    assert_eq!(found.of_others(), [1]);
}

#[test]
fn a_bad_event_is_refused_in_the_words_of_the_engine() {
    let large = with_data("form.submitted")
        .to_string()
        .replace("form-123", &"x".repeat(EVENT_BYTES));
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
    for odd in ["3", "null", "\"text\"", "[]"] {
        let body = format!("[{good}, {odd}, {nan}]");
        let found = read(&body);
        assert_eq!(payloads(&found), [good.as_str()]);
        assert!(reasons(&found)[0].2.contains("JSON object"), "{odd}");
    }
}

#[test]
fn the_tenant_that_is_put_in_counts_for_the_limits() {
    let mut event = with_data("form.submitted");
    event.as_object_mut().unwrap().remove("tenantid");
    for number in 0..64 - 6 {
        event[format!("x{number}")] = json!(1);
    }
    let body = event.to_string();
    assert!(reasons(&read(&body))[0].2.contains("64 keys"));
    let mut event = with_data("form.submitted");
    event.as_object_mut().unwrap().remove("tenantid");
    let room = EVENT_BYTES - event.to_string().len() - "\"tenantid\":\"acme\",".len();
    let filled = |room: usize| {
        event
            .to_string()
            .replacen('{', &format!("{{{}", " ".repeat(room)), 1)
    };
    let (just, over) = (filled(room), filled(room + 1));
    assert_eq!(read(&just).taken[0].payload.len(), EVENT_BYTES);
    assert!(reasons(&read(&over))[0].2.contains("64 KiB"));
}

/// Mostly good events: each as text, perhaps without its tenant, perhaps damaged.
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
    fn what_is_taken_is_refused_by_nobody_behind_it(events in prop::collection::vec(event(), 1..6)) {
        let body = format!("[{}]", events.join(", "));
        if let Ok(found) = intake(body.as_bytes(), "acme", NOW_US) {
            check(&found, "acme");
            // A damaged bracket or quote may join events; none is lost unseen otherwise.
            prop_assert!(found.taken.len() + found.refused.len() <= 2 * events.len());
        }
        for event in &events {
            let found = read_any(event.as_bytes());
            if let Some(found) = found {
                prop_assert_eq!(found.taken.len() + found.refused.len(), 1);
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
    intake(body, "acme", NOW_US).ok()
}
