//! Merged contacts: the merge, and events that are passed on (E21).

use super::evaluate_support::{NOW_US, buffer, event, goal, started, tagged, workflow};
use goald_matcher::buffer::{BufferReader, BufferWriter};
use goald_matcher::decode::decode;
use goald_matcher::evaluate::{EvaluateOptions, Origin, Rules};
use goald_matcher::event::limits::{EVENT_BYTES, ID_BYTES};
use goald_matcher::ids::derived::forward_key;
use goald_matcher::matcher::{Matcher, Target};
use goald_matcher::proposal::Proposal;
use goald_matcher::route::{routing_key, slot_of, with_contact};
use serde_json::{Value, json};

fn matcher() -> Matcher {
    let mut matcher = Matcher::new(Rules::default());
    let tag = goal(1, "tag_added", &json!({"tag_id": "t"}));
    matcher
        .update_workflows(&[workflow("w", "any", vec![tag])])
        .unwrap();
    matcher.set_forward_secret("secret");
    matcher
}

fn forward(matcher: &mut Matcher, contact: &str, into: Option<&str>) {
    forward_since(matcher, contact, into, &[]);
}

/// `merges`: when Redis received them, in microseconds.
fn forward_since(matcher: &mut Matcher, contact: &str, into: Option<&str>, merges: &[i64]) {
    let key = forward_key("secret", "acme", contact);
    let target = into.map(|contact| Target {
        contact: contact.into(),
        merges: merges.into(),
    });
    matcher.set_forwards([("acme", key, target)]);
}

/// A contact of each of these tenants, in one slot.
fn targets_of_one_slot(tenants: [&str; 2]) -> [String; 2] {
    let [first, second] = tenants;
    let slot = slot_of(first, "bea");
    let of_slot = |name: &String| slot_of(second, name) == slot;
    let other = (0..).map(|number| format!("bea-{number}")).find(of_slot);
    ["bea".to_owned(), other.unwrap()]
}

/// The entry of an event that Redis received at this millisecond.
fn received(ms: u64, event: &Value) -> Vec<u8> {
    let mut writer = BufferWriter::new();
    writer.push(ms, 0, event.to_string().as_bytes());
    writer.finish()
}

fn evaluate_later(matcher: &Matcher, buffer: &[u8], merges: &[i64]) -> Proposal {
    let later = [(0, merges.to_vec())];
    let options = EvaluateOptions {
        merges: if merges.is_empty() { &[] } else { &later },
        ..EvaluateOptions::default()
    };
    matcher.evaluate(&[buffer], NOW_US, options).unwrap()
}

fn evaluate(matcher: &Matcher, events: &[Value]) -> Proposal {
    let buffer = buffer(events);
    let options = EvaluateOptions::default();
    matcher.evaluate(&[&buffer], NOW_US, options).unwrap()
}

fn merged(contact: &str, into: &str) -> Value {
    event(
        "contact.merged",
        contact,
        1,
        json!({"into_contact_id": into}),
    )
}

fn contacts(bytes: &[u8]) -> Vec<(String, String)> {
    let entries = BufferReader::new(bytes).unwrap();
    entries
        .map(|entry| {
            let (tenant, contact) = routing_key(entry.event).unwrap();
            (tenant.to_string(), contact.to_string())
        })
        .collect()
}

#[test]
fn the_contact_of_an_event_is_replaced_and_nothing_else() {
    for text in [
        r#"{"tenantid":"acme","data":{"contact_id":"ann","tag_id":"contact_id"},"id":"1"}"#,
        "{ \"data\" : { \"a\" : [{\"contact_id\":\"x\"}], \"contact\\u005fid\" :\t\"a\\u006en\" , \
         \"b\":1 } , \"tenantid\":\"acme\" }",
        r#"{"data":{"contact_id":42},"tenantid":"acme"}"#,
    ] {
        let mut expected: Value = serde_json::from_str(text).unwrap();
        expected["data"]["contact_id"] = json!("b\"ea é");
        let replaced = with_contact(text.as_bytes(), "b\"ea é").unwrap();
        assert_eq!(
            serde_json::from_slice::<Value>(&replaced).unwrap(),
            expected
        );
    }
    assert!(with_contact(br#"{"tenantid":"acme","data":{}}"#, "bea").is_err());
}

#[test]
fn the_contact_is_replaced_in_messagepack_at_any_length() {
    for length in [1, 31, 32, 255, 256, 300] {
        let (old, new) = ("a".repeat(length), "b".repeat(301 - length));
        let mut event = b"\x82\xa8tenantid\xa4acme\xa4data\x82\xaacontact_id".to_vec();
        let size = (length as u16).to_be_bytes();
        event.extend_from_slice(&[0xda, size[0], size[1]]);
        event.extend_from_slice(old.as_bytes());
        event.extend_from_slice(b"\xa1x\x2a");
        assert_eq!(routing_key(&event).unwrap().1, old);
        let replaced = with_contact(&event, &new).unwrap();
        assert_eq!(routing_key(&replaced).unwrap(), ("acme".into(), new.into()));
        assert!(replaced.ends_with(b"\xa1x\x2a"));
    }
}

#[test]
fn events_of_a_merged_contact_are_passed_on_as_events_of_the_other() {
    let mut matcher = matcher();
    forward(&mut matcher, "ann", Some("bea"));
    let events = [started("e", "ann", "w", 1), tagged("t", "ann", 2)];
    let proposal = evaluate(&matcher, &events);
    assert!(proposal.changes_nothing());
    let [forwarded] = &proposal.forwarded[..] else {
        panic!("one buffer for one slot")
    };
    assert_eq!(forwarded.slot, slot_of("acme", "bea"));
    let bea = ("acme".to_owned(), "bea".to_owned());
    assert_eq!(contacts(&forwarded.bytes), [bea.clone(), bea]);
    forward(&mut matcher, "ann", None);
    assert!(evaluate(&matcher, &events).forwarded.is_empty());
}

#[test]
fn events_of_other_contacts_and_about_the_old_id_stay() {
    let mut matcher = matcher();
    forward(&mut matcher, "ann", Some("bea"));
    let deleted = event("contact.deleted", "ann", 3, json!({}));
    let proposal = evaluate(&matcher, &[started("e", "bea", "w", 1), deleted]);
    assert!(proposal.forwarded.is_empty());
    assert_eq!((proposal.effects.len(), proposal.deletions.len()), (1, 1));
    assert_eq!(evaluate(&matcher, &[merged("ann", "bea")]).merges.len(), 1);
}

#[test]
fn later_events_of_the_tenant_wait_for_the_commit_of_a_merge() {
    let matcher = matcher();
    let proposal = evaluate(
        &matcher,
        &[
            started("e", "ann", "w", 0),
            merged("ann", "bea"),
            tagged("t", "bea", 2),
        ],
    );
    assert_eq!((proposal.effects.len(), proposal.merges.len()), (1, 1));
    assert_eq!(proposal.deferred.len(), 1);
    assert_eq!(proposal.deferred[0].events, 1);
    let bea = ("acme".to_owned(), "bea".to_owned());
    assert_eq!(contacts(&proposal.merges[0].transfer.bytes), [bea]);
}

#[test]
fn events_are_passed_on_with_the_merges_that_followed_them() {
    let mut matcher = matcher();
    forward_since(&mut matcher, "ann", Some("bea"), &[2_000, 4_000]);
    let event = tagged("t", "ann", 2);
    let passed_on = |ms: u64, merges: &[i64]| {
        let proposal = evaluate_later(&matcher, &received(ms, &event), merges);
        proposal.forwarded[0].merges.to_vec()
    };
    assert_eq!(passed_on(1, &[]), [2_000, 4_000]);
    assert_eq!(passed_on(2, &[]), [4_000]);
    assert_eq!(passed_on(5, &[]), [0; 0]);
    assert_eq!(passed_on(1, &[3_000]), [3_000, 4_000], "passed on before");
}

#[test]
fn an_event_that_a_merge_followed_counts_for_no_run_that_did_not_move() {
    let mut matcher = matcher();
    let start = received(1, &started("e", "bea", "w", 0));
    let proposal = evaluate_later(&matcher, &start, &[]);
    matcher.apply(&proposal, &[1]).unwrap();
    let tag = received(2, &tagged("t", "bea", 2));
    assert!(evaluate_later(&matcher, &tag, &[3_000]).changes_nothing());
    assert_eq!(evaluate_later(&matcher, &tag, &[]).exits.len(), 1);
}

#[test]
fn a_run_that_starts_late_moved_with_the_merges_since() {
    let matcher = matcher();
    let mut writer = BufferWriter::new();
    for (ms, event) in [(1, started("e", "bea", "w", 0)), (2, tagged("t", "bea", 2))] {
        writer.push(ms, 0, event.to_string().as_bytes());
    }
    let late = writer.finish();
    let proposal = evaluate_later(&matcher, &late, &[3_000]);
    assert_eq!(proposal.exits.len(), 1);
    assert_eq!(*proposal.effects[0].merges, [3_000]);
    let own = received(2, &tagged("t", "bea", 2));
    let buffers = [&*received(1, &started("e", "bea", "w", 0)), &*own];
    let options = EvaluateOptions {
        merges: &[(0, vec![3_000])],
        ..EvaluateOptions::default()
    };
    let proposal = matcher.evaluate(&buffers, NOW_US, options).unwrap();
    assert!(proposal.exits.is_empty(), "an event of the other contact");
}

/// The origin of the first buffer: events of `ann`.
fn of_ann(is_returned: bool) -> Origin {
    Origin {
        buffer: 0,
        contact: "ann".to_owned(),
        is_returned,
    }
}

#[test]
fn a_deletion_lets_the_events_behind_it_wait_if_others_were_passed_on() {
    let buffer = buffer(&[
        event("contact.deleted", "bea", 1, json!({})),
        tagged("t", "bea", 2),
    ]);
    for (origins, waiting) in [(&[of_ann(false)][..], 1), (&[], 0)] {
        let options = EvaluateOptions {
            origins,
            ..EvaluateOptions::default()
        };
        let proposal = matcher().evaluate(&[&buffer], NOW_US, options).unwrap();
        assert_eq!(proposal.deletions.len(), 1);
        assert_eq!(proposal.deferred.len(), waiting);
    }
}

#[test]
fn an_event_goes_back_to_the_merged_contact_that_it_named() {
    let sent = received(1, &tagged("t", "bea", 2));
    let options = EvaluateOptions {
        merges: &[(0, vec![3_000])],
        origins: &[of_ann(true)],
        ..EvaluateOptions::default()
    };
    let proposal = matcher().evaluate(&[&sent], NOW_US, options).unwrap();
    let [back] = &proposal.forwarded[..] else {
        panic!("it is passed on once");
    };
    assert_eq!((back.slot, &*back.contact), (slot_of("acme", "ann"), ""));
    assert!(back.merges.is_empty(), "as if it had not been passed on");
    assert_eq!(back.bytes, received(1, &tagged("t", "ann", 2)));
}

#[test]
fn events_are_passed_on_with_the_contact_for_which_they_were_received() {
    let mut matcher = matcher();
    for contact in ["ann", "bob"] {
        forward(&mut matcher, contact, Some("bea"));
    }
    forward(&mut matcher, "bea", Some("cleo"));
    let order = ["ann", "bob", "bob", "ann"];
    let proposal = evaluate(&matcher, &order.map(|contact| tagged("t", contact, 2)));
    let passed_on = proposal.forwarded.iter();
    let origins: Vec<&str> = passed_on.map(|each| &*each.contact).collect();
    assert_eq!(origins, ["ann", "bob", "ann"], "in their order");
    let options = EvaluateOptions {
        origins: &[of_ann(false)],
        ..EvaluateOptions::default()
    };
    let again = matcher.evaluate(&[&proposal.forwarded[0].bytes], NOW_US, options);
    let again = again.unwrap();
    assert_eq!(&*again.forwarded[0].contact, "ann", "not bea");
}

#[test]
fn events_of_contacts_with_one_id_are_passed_on_apart_for_each_tenant() {
    let mut matcher = matcher();
    let tenants = ["acme", "globex"];
    let tag = goal(2, "tag_added", &json!({"tag_id": "t"}));
    let mut of_globex = workflow("w", "any", vec![tag]);
    of_globex.tenant_id = "globex".into();
    matcher.update_workflows(&[of_globex]).unwrap();
    let targets = targets_of_one_slot(tenants);
    for (tenant, target) in tenants.iter().zip(&targets) {
        let target = Target {
            contact: target.as_str().into(),
            merges: Box::default(),
        };
        let key = forward_key("secret", tenant, "1001");
        matcher.set_forwards([(*tenant, key, Some(target))]);
    }
    let events = tenants.map(|tenant| {
        let mut event = tagged("t", "1001", 2);
        event["tenantid"] = json!(tenant);
        event
    });
    let proposal = evaluate(&matcher, &events);
    let passed_on = proposal.forwarded.iter();
    let passed_on: Vec<_> = passed_on.map(|each| contacts(&each.bytes)).collect();
    let [acme, globex] = targets;
    let of_acme = vec![("acme".to_owned(), acme)];
    let of_globex = vec![("globex".to_owned(), globex)];
    assert_eq!(passed_on, [of_acme, of_globex]);
}

#[test]
fn a_merge_of_a_contact_into_itself_is_rejected() {
    let proposal = evaluate(&matcher(), &[merged("ann", "ann")]);
    assert_eq!(proposal.rejected.len(), 1);
    assert!(proposal.merges.is_empty());
}

#[test]
fn the_largest_event_of_a_merged_contact_is_passed_on_under_the_longest_id() {
    let mut event = tagged("t", "a", 1);
    event["data"]["note"] = json!("");
    let room = EVENT_BYTES - event.to_string().len();
    event["data"]["note"] = json!("x".repeat(room));
    let event = event.to_string();
    assert_eq!(event.len(), EVENT_BYTES);
    let longest = "€".repeat(ID_BYTES / 3);
    let replaced = with_contact(event.as_bytes(), &longest).unwrap();
    assert!(replaced.len() > EVENT_BYTES);
    let contact = |bytes: &[u8]| decode(bytes, NOW_US).unwrap().contact.to_string();
    assert_eq!(contact(&replaced), longest);
    assert_eq!(contact(&with_contact(&replaced, "bea").unwrap()), "bea");
}
